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
    revised_at  timestamptz,                    -- recomputed since, because rows of its past came late
    primary key (version_id, device_id, ts)
);
create index on analytics.prediction (ts);

-- A failure somebody has recorded: an engineer's finished repair with a confirmed cause, or a maintenance system.
-- Models learn from these and from machines that stopped themselves (analytics/prediction/stored.py). Written by the
-- field-service core, too (INSERT only).
create table analytics.failure (
    device_id  int not null references ingest.device,
    component  text not null,                   -- as in ingest.failure_mode
    ts         timestamptz not null,            -- when it failed …
    known_at   timestamptz not null,            -- … and since when anybody knows: nothing is learned from it before
    reference  text not null,                   -- order number, or whose record it is
    primary key (device_id, component, ts),
    check (known_at >= ts)
);
create index on analytics.failure (known_at);
