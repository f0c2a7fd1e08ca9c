-- A learned model, kept with what it was learned from and how it fared on a later time it had not seen.
create table analytics.model_version (
    id          bigint generated always as identity primary key,
    kind        text not null check (kind in ('failure', 'remaining_life')),
    model       text not null references ingest.model,
    component   text not null,
    format      int not null,                   -- of `bytes` (analytics/prediction/model_file.py)
    bytes       bytea not null,
    digest      text not null generated always as (encode(sha256(bytes), 'hex')) stored,
    data_from   timestamptz not null,           -- learned from what was known in this window …
    data_to     timestamptz not null,
    scores      jsonb not null,                 -- … and tried on the time after it
    cost        double precision not null,      -- in that time, with its orders; less is better
    trained_at  timestamptz not null default kit.now(),
    promoted_at timestamptz,                    -- in force from here …
    retired_at  timestamptz,                    -- … to here
    verdict     text not null,                  -- why it was promoted or was not …
    reason      jsonb not null default '{}',    -- … the same as {code, and what it is told with}, for any language
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

-- Devices of which rows or fault events came late, from which event time on: what was said of them since then is
-- worked out again by the next scoring.
create table analytics.stale_prediction (
    device_id int primary key,
    since     timestamptz not null
);

-- What is left of a component's life, in operating hours: the newest prediction of a version for a device holds.
create table analytics.remaining_life (
    version_id  bigint not null references analytics.model_version,
    device_id   int not null,
    component   text not null,
    ts          timestamptz not null,           -- event time at which it was known
    low         double precision not null,      -- 10 % …
    median      double precision not null,
    high        double precision not null,      -- … and 90 % quantile, operating hours
    most        double precision not null,      -- nothing further away is told: at `most` it means "or more"
    hours_a_day double precision not null,      -- operating hours a day of late, for the calendar
    revised_at  timestamptz,                    -- recomputed since, because rows of its past came late
    primary key (version_id, device_id, ts),
    check (0 <= low and low <= median and median <= high and high <= most)
);
create index on analytics.remaining_life (device_id, ts);

-- What came of the last time that learning a component was tried: why there is a model, a new one, or none.
create table analytics.learning (
    kind      text not null check (kind in ('failure', 'remaining_life')),
    model     text not null references ingest.model,
    component text not null,
    tried_at  timestamptz not null,
    promoted  boolean not null,
    verdict   text not null,
    reason    jsonb not null default '{}',      -- as of a version
    primary key (kind, model, component)
);

-- Device types whose failure predictions decide alone ([prediction] decides = true in the type's file): where a model
-- of a component is in force, other findings about it are part of what it judges and open no orders of their own.
create table analytics.prediction_decides (
    model text primary key references ingest.model
);
