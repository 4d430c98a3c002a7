import os

# pydantic would look through all installed packages for plugins, which costs each exchange 3 MB.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
