-- Sparkplug B: the state of each edge node, moved in the transaction that stores what its messages said.
create table ingest.sparkplug_node (
    node       text primary key,               -- group/edge
    bd_seq     bigint,                          -- of the last NBIRTH
    seq        int check (seq between 0 and 255),
    born       boolean not null default false,  -- false: no alias is believed until the next birth
    births     bigint not null default 0,       -- counts changes of sparkplug_device
    digests    bytea,                           -- 256 × uint32, little-endian: checksums of the last messages by seq
    asked_at   timestamptz                      -- when it was last asked to be born again; wall clock
) with (fillfactor = 70);

-- What the births declared; device '' is the edge node itself.
create table ingest.sparkplug_device (
    node    text not null references ingest.sparkplug_node on delete cascade,
    device  text not null,
    online  boolean not null,
    trusted boolean not null,
    metrics jsonb not null,                     -- [[name, alias, datatype, unit], …]
    primary key (node, device)
);
