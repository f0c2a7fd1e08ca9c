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
    through_batch  bigint not null,             -- … as far as they had arrived by this batch, in the order (xid, id) …
    telemetry_hash text not null,               -- … and their hash, so that it can be recomputed
    tuning_id      int,                         -- tuning the rules had (null: the defaults)
    partition      int not null,                -- whose fleet prior they used
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

-- Since when the stream of a partition knows of a reset: it takes effect before the device's first row or fault
-- event from a later batch whose event time is not before that of the reset. So a replay applies it where it was
-- applied live, also when the repair was reported late.
create table analytics.known_reset (
    reset_id      bigint primary key references analytics.reset,
    device_id     int not null,
    component     text not null,
    ts            timestamptz not null,
    known_xid     xid8 not null,                -- position in ingest.batch
    known_batch   bigint not null,
    applied_xid   xid8,                         -- position by which it had taken effect; null: it lies ahead
    applied_batch bigint
);
create index on analytics.known_reset (device_id) where applied_xid is null;

-- Operating hours within which the signal of a failure mode must recover after a repair ([[recovery]] tables of the
-- device type's file; a mode without one has the default of analytics/recovery/rules.py). One for a rule holds where
-- the alarm before the repair was of that rule, else the one for any ('').
create table analytics.recovery_rule (
    model        text not null,
    failure_mode text not null,
    rule         text not null default '',      -- detector name, e.g. shift; '': any
    hours        double precision not null check (hours > 0),
    primary key (model, failure_mode, rule),
    foreign key (model, failure_mode) references ingest.failure_mode
);

-- Whether the signal that led to a repair came back to normal after it.
create table analytics.recovery (
    reset_id     bigint not null references analytics.reset,
    failure_mode text not null,
    device_id    int not null,
    raise_id     bigint not null references analytics.detection,   -- the alarm before the repair
    repaired_at  timestamptz not null,
    hours        double precision not null,     -- operating hours within which it must recover
    state        text not null default 'watching' check (state in ('watching', 'recovered', 'not_recovered', 'recurred',
                                                                   'unknown', 'superseded')),
    look_at      timestamptz not null,          -- event time of the device from which it is looked at again
    decided_ts   timestamptz,                   -- event time of the verdict …
    run_hours    double precision,              -- … operating hours from the repair until then …
    figures      jsonb,                         -- … and by metric: mean and the level it had to reach
    detection_id bigint references analytics.detection,            -- the raise made of it when it did not recover
    primary key (reset_id, failure_mode)
);
create index on analytics.recovery (device_id) where state = 'watching';

-- Fixed limits of a device type ([[limit]] tables of its file).
create table analytics.limit_rule (
    model        text not null,
    metric       text not null,
    side         text not null check (side in ('high', 'low')),
    value        double precision not null,
    failure_mode text not null,
    severity     int not null check (severity between 1 and 4),
    hold_minutes double precision not null check (hold_minutes >= 0),
    band         double precision not null check (band > 0),
    primary key (model, metric, side, failure_mode),
    foreign key (model, metric) references ingest.metric,
    foreign key (model, failure_mode) references ingest.failure_mode
);

-- Changed tuning of the rules (analytics/rules.py); the newest row holds, none is the defaults.
create table analytics.tuning (
    id         int generated always as identity primary key,
    xid        xid8 not null default pg_current_xact_id(),
    rules      jsonb not null,                  -- all that differs from the defaults
    changed_by text not null check (changed_by <> ''),
    changed_at timestamptz not null default kit.now(),
    note       text not null default ''         -- why; e.g. the backtest it was tried in
);
create index on analytics.tuning (xid, id);
create trigger wake after insert on analytics.tuning for each statement execute function kit.wake();

-- Which tuning a partition's stream used for the batches after a position, so that a replay uses it there, too.
create table analytics.tuning_use (
    partition int not null,
    xid       xid8 not null,                    -- position in ingest.batch
    batch_id  bigint not null,
    tuning_id int,                              -- null: the defaults
    primary key (partition, xid, batch_id)
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
alter table analytics.device_state alter column state set storage plain;

-- A device's state from time to time (weekly), so that a detection can be recomputed without the whole history.
create table analytics.snapshot (
    device_id int not null,
    xid       xid8 not null,                    -- position in ingest.batch through which it has come
    batch_id  bigint not null,
    layout_id int not null references analytics.state_layout,
    state     bytea not null,
    primary key (device_id, xid, batch_id)
);

-- What the models know of a fleet (the prior of new devices), learned once a day of event time from the batches up
-- to a position and used for the batches after it.
create table analytics.fleet (
    partition int not null,
    model     text not null,
    xid       xid8 not null,
    batch_id  bigint not null,
    state     jsonb not null,
    primary key (partition, model, xid, batch_id)
);

-- Counts the steps of a partition; a worker whose count differs reads its state again. `day` is the last day of
-- event time at whose beginning the fleet was learned.
create table analytics.step (
    partition int primary key,
    number    bigint not null default 0,
    day       int not null default 0            -- days since 1970-01-01
) with (fillfactor = 50);
