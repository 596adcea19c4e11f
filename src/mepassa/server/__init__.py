"""The home server: mailbox, directory, relay, bootstrap. It never sees a key that opens a message."""
