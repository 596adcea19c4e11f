"""What the repository needs to check itself; never shipped. What others may test with too is `mepassa.testing`.

Checks: `contracts` of the import law · `sizes`. Real programs for tests and measurements: `programs` homes and nodes as
people start them, spoken to from a loop · `home_process` `serve_process` a home with every field of its configuration,
blocking · `home_load` many senders at one home. `web` the page, rebuilt as you type.
"""
