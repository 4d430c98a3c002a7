"""What any MCP client may ask Fleet. Needs the extra fleet[mcp]; imported by `fleet mcp` and by a
gateway that has it."""
