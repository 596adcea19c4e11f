"""The tables of a device's database, as migrations: entry n brings version n to n + 1 and is never edited again."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE own (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        account BLOB NOT NULL, device INTEGER NOT NULL, name TEXT NOT NULL,
        root_key BLOB NOT NULL, root_seed BLOB, identity_key BLOB NOT NULL, device_seed BLOB NOT NULL,
        registration_id INTEGER NOT NULL, device_certificate BLOB NOT NULL,
        device_list BLOB NOT NULL, list_version INTEGER NOT NULL,
        home_url TEXT NOT NULL, home_key BLOB NOT NULL,
        profile_key BLOB NOT NULL, presence_seed BLOB NOT NULL
    );
    CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

    CREATE TABLE prekeys (
        kind INTEGER NOT NULL, id INTEGER NOT NULL, secret BLOB NOT NULL, created_ms INTEGER NOT NULL,
        uploaded INTEGER NOT NULL, PRIMARY KEY (kind, id)
    );
    CREATE TABLE prekey_numbers (kind INTEGER PRIMARY KEY, next INTEGER NOT NULL);
    CREATE TABLE last_resort_uses (
        kyber_id INTEGER NOT NULL, signed_id INTEGER NOT NULL, base_key BLOB NOT NULL,
        PRIMARY KEY (kyber_id, signed_id, base_key)
    ) WITHOUT ROWID;

    CREATE TABLE sessions (
        account BLOB NOT NULL, device INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (account, device)
    );
    CREATE TABLE resets (account BLOB NOT NULL, device INTEGER NOT NULL, at_ms INTEGER NOT NULL);
    CREATE INDEX resets_by_peer ON resets (account, device, at_ms);

    CREATE TABLE contacts (
        account BLOB PRIMARY KEY, root_key BLOB NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
        home_url TEXT NOT NULL, home_key BLOB NOT NULL, policy TEXT NOT NULL,
        device_list BLOB, list_version INTEGER NOT NULL, list_wanted INTEGER NOT NULL,
        profile_key BLOB, presence_key BLOB, invite_token BLOB,
        last_sender_seq INTEGER NOT NULL, added_ms INTEGER NOT NULL
    );
    CREATE TABLE invites (
        token BLOB PRIMARY KEY, kind TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
        uses_left INTEGER NOT NULL, revoked INTEGER NOT NULL
    );
    CREATE TABLE invite_uses (token BLOB NOT NULL, account BLOB NOT NULL, PRIMARY KEY (token, account)) WITHOUT ROWID;

    CREATE TABLE messages (
        id BLOB PRIMARY KEY, chat BLOB NOT NULL, sender BLOB NOT NULL, outgoing INTEGER NOT NULL,
        kind TEXT NOT NULL, text TEXT NOT NULL, sent_at_ms INTEGER NOT NULL, sender_seq INTEGER NOT NULL,
        status TEXT NOT NULL, reply_to BLOB, route BLOB, client_id BLOB UNIQUE, receipt_held INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL, position INTEGER NOT NULL
    );
    CREATE INDEX messages_by_chat ON messages (chat, position, sender_seq);
    CREATE INDEX messages_unread ON messages (chat) WHERE outgoing = 0 AND status = 'delivered';
    CREATE INDEX messages_awaiting ON messages (expires_ms)
        WHERE outgoing = 1 AND status IN ('queued', 'sent', 'stored');

    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account BLOB NOT NULL, device INTEGER NOT NULL, kind TEXT NOT NULL,
        content BLOB NOT NULL, envelope BLOB, message_id BLOB, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
        next_try_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, stored_only INTEGER NOT NULL, resends INTEGER NOT NULL,
        last_error TEXT
    );
    CREATE INDEX outbox_by_account ON outbox (account, id);
    CREATE TABLE sent (
        id BLOB PRIMARY KEY, account BLOB NOT NULL, device INTEGER NOT NULL, message_id BLOB, content BLOB NOT NULL,
        ratchet_key BLOB NOT NULL, resends INTEGER NOT NULL, sent_ms INTEGER NOT NULL
    );
    CREATE INDEX sent_by_message ON sent (message_id, account);
    CREATE INDEX sent_by_time ON sent (sent_ms);
    CREATE TABLE renewals (
        account BLOB NOT NULL, message_id BLOB NOT NULL, content BLOB NOT NULL, next_ms INTEGER NOT NULL,
        PRIMARY KEY (account, message_id)
    );

    CREATE TABLE seen (id BLOB PRIMARY KEY, seen_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX seen_by_time ON seen (seen_ms);
    CREATE TABLE unopened (
        id BLOB PRIMARY KEY, account BLOB NOT NULL, device INTEGER NOT NULL, ratchet_key BLOB NOT NULL,
        failed_at_ms INTEGER NOT NULL, asked INTEGER NOT NULL, next_ask_ms INTEGER NOT NULL
    );

    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, chat BLOB, message_id BLOB, note TEXT
    );
    CREATE TABLE home_tokens (sha256 BLOB PRIMARY KEY, rights TEXT NOT NULL, expires_ms INTEGER);
    CREATE TABLE known_addresses (
        account BLOB NOT NULL, device INTEGER NOT NULL, addresses TEXT NOT NULL, at_ms INTEGER NOT NULL,
        PRIMARY KEY (account, device)
    );
    """,
    """
    ALTER TABLE contacts ADD COLUMN verification TEXT NOT NULL DEFAULT 'none';
    ALTER TABLE contacts ADD COLUMN verified_ms INTEGER NOT NULL DEFAULT 0;
    """,
    """
    CREATE TABLE own_sender_keys (distribution_id BLOB PRIMARY KEY, record BLOB NOT NULL, created_ms INTEGER NOT NULL);
    CREATE TABLE sender_key_holders (
        distribution_id BLOB NOT NULL, account BLOB NOT NULL, device INTEGER NOT NULL, identity_key BLOB NOT NULL,
        PRIMARY KEY (distribution_id, account, device)
    ) WITHOUT ROWID;
    CREATE TABLE sender_keys (
        account BLOB NOT NULL, device INTEGER NOT NULL, distribution_id BLOB NOT NULL, record BLOB NOT NULL,
        used_ms INTEGER NOT NULL, PRIMARY KEY (account, device, distribution_id)
    );
    """,
    "ALTER TABLE renewals ADD COLUMN confirmed BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE contacts ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0",
    # Fewer pages a message (docs/decisions/0096): no index that only the daily trimming would read, no entry for a client
    # id that is not there, no table of its own for the next number.
    """
    CREATE TABLE owed_receipts (
        id INTEGER PRIMARY KEY, account BLOB NOT NULL, device INTEGER, message_id BLOB NOT NULL, route BLOB,
        due_ms INTEGER NOT NULL
    );
    DROP INDEX sent_by_time;
    DROP INDEX seen_by_time;

    CREATE TABLE events_6 (
        seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, chat BLOB, message_id BLOB, note TEXT
    );
    INSERT INTO events_6 SELECT * FROM events;
    DROP TABLE events;
    ALTER TABLE events_6 RENAME TO events;

    CREATE TABLE outbox_6 (
        id INTEGER PRIMARY KEY, account BLOB NOT NULL, device INTEGER NOT NULL, kind TEXT NOT NULL,
        content BLOB NOT NULL, envelope BLOB, message_id BLOB, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
        next_try_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, stored_only INTEGER NOT NULL, resends INTEGER NOT NULL,
        last_error TEXT, ratchet_key BLOB, sealed_ms INTEGER
    );
    INSERT INTO outbox_6 SELECT *, NULL, NULL FROM outbox;
    DROP TABLE outbox;
    ALTER TABLE outbox_6 RENAME TO outbox;

    CREATE TABLE messages_6 (
        id BLOB PRIMARY KEY, chat BLOB NOT NULL, sender BLOB NOT NULL, outgoing INTEGER NOT NULL,
        kind TEXT NOT NULL, text TEXT NOT NULL, sent_at_ms INTEGER NOT NULL, sender_seq INTEGER NOT NULL,
        status TEXT NOT NULL, reply_to BLOB, route BLOB, client_id BLOB, receipt_held INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL, position INTEGER NOT NULL
    );
    INSERT INTO messages_6 SELECT * FROM messages;
    DROP TABLE messages;
    ALTER TABLE messages_6 RENAME TO messages;
    CREATE UNIQUE INDEX messages_by_client ON messages (client_id) WHERE client_id IS NOT NULL;
    CREATE INDEX messages_by_chat ON messages (chat, position, sender_seq);
    CREATE INDEX messages_unread ON messages (chat) WHERE outgoing = 0 AND status = 'delivered';
    CREATE INDEX messages_awaiting ON messages (expires_ms)
        WHERE outgoing = 1 AND status IN ('queued', 'sent', 'stored');
    """,
)
