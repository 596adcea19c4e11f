"""Names of the settings rows in the device's database."""

INSECURE_HOME = "insecure_home"
"""Present: the person allowed plain http:// to a home on another machine (`init --insecure-home`)."""
PRIVATE_HOME = "private_home"
"""Present: our own home's name stood for a private address when the account was made, so such homes may be dialled."""
BOOTSTRAP = "bootstrap"
"""The DHT nodes that the home listed when it was last asked: multiaddrs, one a line, UTF-8."""
