"""MePassa: a messenger where most messages never touch a server."""
