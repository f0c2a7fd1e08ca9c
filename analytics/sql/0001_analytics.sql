-- One raised or cleared finding: the fact that fsm_core.plans follows.
create table analytics.detection (
    id             bigint generated always as identity primary key,
    xid            xid8 not null default pg_current_xact_id(),
    device_id      int not null references ingest.device,
    ts             timestamptz not null,        -- event time at which the rule decided
    kind           text not null check (kind in ('raise', 'clear')),
    rule           text not null,               -- detector name, e.g. shift, limit, fault_code
    rule_version   int not null,
    failure_mode   text not null,
    severity       int not null check (severity between 1 and 4),
    score          double precision not null,
    -- what drove it: [{metric, value, baseline, limit, unit, regime}], fault codes, …
    evidence       jsonb not null,
    telemetry_from timestamptz not null,        -- the stored rows it rests on …
    telemetry_to   timestamptz not null,
    telemetry_hash text not null,               -- … and their hash, so that it can be recomputed
    created_at     timestamptz not null default clock_timestamp(),
    unique (device_id, ts, kind, rule, failure_mode)
);
create index on analytics.detection (xid, id);
create index on analytics.detection (device_id, ts);
create trigger wake after insert on analytics.detection for each statement execute function kit.wake();

-- State of the streaming models, written in the transaction of the batch that changed it.
create table analytics.model_state (
    partition  int not null,
    model      text not null,
    version    int not null,
    state      bytea not null,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (partition, model)
);
