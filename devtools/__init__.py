"""What the repository needs to check itself; never shipped."""
