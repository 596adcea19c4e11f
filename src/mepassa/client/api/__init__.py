"""The local API: the only door for the page, the CLI and other programs. `types` is its frozen contract."""
