"""Fleet under abuse: real processes, killed, starved and raced, from a seed that replays it."""
