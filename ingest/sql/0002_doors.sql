-- The end points' own memory. A running end point is a door; it beats every second. When a door has been silent for
-- a while its sessions are orphans: another door (or the same one, restarted) publishes their wills.
create table ingest.door (
    id         bigint generated always as identity primary key,
    name       text not null,
    started_at timestamptz not null default clock_timestamp(),
    beat_at    timestamptz not null default clock_timestamp()
);

-- One row per connected device, committed before its CONNACK. `number` tells connections of one door apart, so that
-- the end of an old connection does not end the one that took it over.
create table ingest.session (
    uid          text not null,
    client_id    text not null,
    door         bigint not null references ingest.door,
    number       bigint not null,
    connected_at timestamptz not null default clock_timestamp(),
    will_topic   text,
    will_payload bytea,
    will_retain  boolean not null default false,
    primary key (uid, client_id)
);
create index on ingest.session (door);

-- Retained messages of devices (their status, a standing command); an empty payload removes the row.
create table ingest.retained (
    topic     text primary key,
    payload   bytea not null,
    stored_at timestamptz not null default clock_timestamp()
);

-- Sessions that collectors hold at brokers. A broker that no longer knows a session listed here has lost messages.
create table ingest.broker_session (
    broker    text not null,
    client_id text not null,
    since     timestamptz not null default clock_timestamp(),
    lost      int not null default 0,
    primary key (broker, client_id)
);
