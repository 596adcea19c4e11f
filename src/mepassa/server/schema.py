"""The home's tables. Ids are bytes, times unix milliseconds; a migration that has been released is never edited."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE account (
            account BLOB PRIMARY KEY,
            root_key BLOB NOT NULL,
            list_version BIGINT NOT NULL,
            list_body BLOB NOT NULL,
            list_signature BLOB NOT NULL,
            registered_at_ms BIGINT NOT NULL
        )""",
        # `mailbox` numbers one device's mailbox; it never leaves this server. `*_high`: the highest one-time prekey id
        # ever taken from the device, so that an upload sent twice can't make one key be handed out twice.
        """CREATE TABLE device (
            mailbox INTEGER PRIMARY KEY AUTOINCREMENT,
            account BLOB NOT NULL,
            device INTEGER NOT NULL,
            identity_key BLOB NOT NULL,
            registration_id INTEGER NOT NULL,
            run_counter BIGINT NOT NULL DEFAULT 0,
            run_id BLOB NOT NULL DEFAULT X'',
            rolled_back INTEGER NOT NULL DEFAULT 0,
            signed_prekey BLOB,
            last_resort_prekey BLOB,
            one_time_high BIGINT NOT NULL DEFAULT 0,
            kyber_high BIGINT NOT NULL DEFAULT 0,
            UNIQUE (account, device)
        )""",
        """CREATE TABLE one_time_prekey (
            mailbox INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            id BIGINT NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (mailbox, kind, id)
        )""",
        """CREATE TABLE token (
            account BLOB NOT NULL,
            sha256 BLOB NOT NULL,
            token_right TEXT NOT NULL,
            expires_at_ms BIGINT,
            PRIMARY KEY (account, sha256)
        )""",
        """CREATE TABLE envelope (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            mailbox INTEGER NOT NULL,
            id BLOB NOT NULL,
            lane INTEGER NOT NULL,
            stored_at_ms BIGINT NOT NULL,
            sealed BLOB NOT NULL,
            UNIQUE (mailbox, id)
        )""",
        "CREATE INDEX envelope_order ON envelope (mailbox, seq)",
        """CREATE TABLE registration_invite (
            sha256 BLOB PRIMARY KEY,
            uses_left INTEGER NOT NULL,
            made_at_ms BIGINT NOT NULL
        )""",
    ),
)
