-- How far each partition of the durable log (ingest/log) is stored; moved in the transaction that stores the rows.
create table ingest.log_offset (
    log       text not null,
    partition int not null check (partition >= 0),
    "offset"  bigint not null check ("offset" >= 0),
    moved_at  timestamptz not null default clock_timestamp(),
    primary key (log, partition)
) with (fillfactor = 70);
