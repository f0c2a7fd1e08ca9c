-- A learned model, kept with what it was learned from and how it fared on a later time it had not seen.
create table analytics.model_version (
    id          bigint generated always as identity primary key,
    kind        text not null check (kind in ('failure', 'remaining_life')),
    model       text not null references ingest.model,
    component   text not null,
    format      int not null,                   -- of `bytes` (analytics/prediction/model_file.py)
    bytes       bytea not null,
    data_from   timestamptz not null,           -- learned from what was known in this window …
    data_to     timestamptz not null,
    scores      jsonb not null,                 -- … and tried on the time after it
    cost        double precision not null,      -- in that time, with its orders; less is better
    trained_at  timestamptz not null default kit.now(),
    promoted_at timestamptz,                    -- in force from here …
    retired_at  timestamptz,                    -- … to here
    verdict     text not null,                  -- why it was promoted or was not
    check (data_from < data_to),
    check (retired_at is null or promoted_at is not null)
);
create unique index one_model_in_force on analytics.model_version (kind, model, component)
    where promoted_at is not null and retired_at is null;

-- What a model said, kept until it is known whether it was right; the drift watch reads it.
create table analytics.prediction (
    version_id  bigint not null references analytics.model_version,
    device_id   int not null,
    ts          timestamptz not null,           -- event time at which it was known
    probability double precision not null check (probability between 0 and 1),
    primary key (version_id, device_id, ts)
);
create index on analytics.prediction (ts);
