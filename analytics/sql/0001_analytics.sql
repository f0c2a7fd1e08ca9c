-- One raised or cleared finding: the fact that fsm_core.plans follows.
create table analytics.detection (
    id             bigint generated always as identity primary key,
    xid            xid8 not null default pg_current_xact_id(),
    device_id      int not null references ingest.device,
    ts             timestamptz not null,        -- event time at which the rule decided
    kind           text not null check (kind in ('raise', 'clear')),
    rule           text not null,               -- detector name, e.g. shift, limit, fault_code; reset for a clear by repair
    rule_version   int not null,
    failure_mode   text not null,
    severity       int not null check (severity between 1 and 4),
    score          double precision not null,
    -- what drove it: {drivers: [{metric, value, baseline, limit, unit, z, regime, ts}], codes: [{code, ts, active}], …}
    evidence       jsonb not null,
    telemetry_from timestamptz not null,        -- the stored rows it rests on …
    telemetry_to   timestamptz not null,
    through_batch  bigint,                      -- … as far as they had arrived (null: all of the range) …
    telemetry_hash text not null,               -- … and their hash, so that it can be recomputed
    created_at     timestamptz not null default clock_timestamp(),
    unique (device_id, ts, kind, rule, failure_mode)
);
create index on analytics.detection (xid, id);
create index on analytics.detection (device_id, ts);
create trigger wake after insert on analytics.detection for each statement execute function kit.wake();

-- A component was repaired or replaced at `ts`: its alarms close and its baselines start anew.
-- The one table here that the field-service core may write (INSERT only).
create table analytics.reset (
    id        bigint generated always as identity primary key,
    xid       xid8 not null default pg_current_xact_id(),
    device_id int not null references ingest.device,
    component text not null,                    -- as in ingest.failure_mode; '*' is the whole machine
    ts        timestamptz not null,             -- event time of the repair
    reason    text not null,
    unique (device_id, component, ts)
);
create index on analytics.reset (xid, id);
create trigger wake after insert on analytics.reset for each statement execute function kit.wake();

-- Resets that lie ahead of their device's telemetry.
create table analytics.pending_reset (
    reset_id  bigint primary key,
    device_id int not null,
    component text not null,
    ts        timestamptz not null
);

-- How a device's state is laid out: names of fields and axes, so that it outlives a changed device type.
create table analytics.state_layout (
    id   int generated always as identity primary key,
    spec jsonb not null unique
);

-- State of the streaming models, one row a device, written in the transaction of the batch that changed it.
create table analytics.device_state (
    device_id int primary key,
    layout_id int not null references analytics.state_layout,
    state     bytea not null                    -- float64, little endian
) with (fillfactor = 50);

-- What the models know of a fleet (the prior of new devices), and how many rows they have seen.
create table analytics.model_state (
    partition  int not null,
    model      text not null,
    state      jsonb not null,
    primary key (partition, model)
) with (fillfactor = 50);

-- Counts the steps of a partition; a worker whose count differs reads its state again.
create table analytics.step (
    partition int primary key,
    number    bigint not null
) with (fillfactor = 50);
