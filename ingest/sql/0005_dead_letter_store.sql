-- What the dead letters take, as the storage worker last measured it (ingest/letter_store.py): to sum it up for every
-- scrape would read them all. One row.
create table ingest.dead_letter_store (
    one         boolean primary key default true check (one),
    letters     bigint not null,
    bytes       bigint not null,
    most        bigint not null,                -- beyond which the oldest are forgotten
    measured_at timestamptz not null default clock_timestamp()
);
