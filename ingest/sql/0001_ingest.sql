-- What kinds of device there are, and what they may say. Loaded from device-type files (meantime/device_types/*.toml).
create table ingest.model (
    code    text primary key,
    name_en text not null,
    name_zh text not null,
    kind    text not null                      -- ISO 14224 equipment class: pump, compressor, chiller, …
);

create table ingest.metric (
    model   text not null references ingest.model,
    name    text not null check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    name_en text not null,
    name_zh text not null,
    unit    text not null,
    low     double precision not null,         -- physically possible range; outside it is refused
    high    double precision not null,
    role    text not null check (role in ('reading', 'run_hours', 'state')),
    -- run_hours: the counter wraps here; null: it does not
    rolls_at double precision,
    primary key (model, name),
    check (low < high)
);
create unique index one_run_hours_counter on ingest.metric (model) where role = 'run_hours';
create unique index one_state_metric on ingest.metric (model) where role = 'state';

-- ISO 14224 failure modes of a model, and what tells of each.
create table ingest.failure_mode (
    model     text not null references ingest.model,
    code      text not null,                   -- e.g. bearing_wear
    component text not null,                   -- the maintainable item
    name_en   text not null,
    name_zh   text not null,
    priority  int not null check (priority between 1 and 4),   -- 1 is the most urgent
    primary key (model, code)
);

create table ingest.symptom (
    model        text not null,
    failure_mode text not null,
    metric       text not null,
    direction    text not null check (direction in ('up', 'down', 'both')),
    weight       double precision not null default 1 check (weight > 0),
    primary key (model, failure_mode, metric),
    foreign key (model, failure_mode) references ingest.failure_mode,
    foreign key (model, metric) references ingest.metric
);

create table ingest.fault_code (
    model        text not null references ingest.model,
    code         text not null,
    severity     int not null check (severity between 1 and 4),   -- 1 stops the machine … 4 is information
    failure_mode text,
    text_en      text not null,
    text_zh      text not null,
    primary key (model, code),
    foreign key (model, failure_mode) references ingest.failure_mode
);

-- The registry. `uid` is what the device calls itself on the wire; `id` is ours and stable.
create table ingest.device (
    id             int generated always as identity primary key,
    uid            text not null unique check (uid ~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$'),
    model          text not null references ingest.model,
    status         text not null default 'active' check (status in ('active', 'revoked')),
    provisioned_at timestamptz not null default kit.now()
);

-- What a device shows at the door; several at once while a token is rotated. sha256 of a random token.
create table ingest.credential (
    id         int generated always as identity primary key,
    device_id  int not null references ingest.device,
    username   text not null,
    secret     bytea not null,
    created_at timestamptz not null default kit.now(),
    revoked_at timestamptz
);
create index on ingest.credential (username);
create index on ingest.credential (secret);

-- Counts the changes of what writers keep in memory (devices, metrics, fault codes); a writer whose count differs
-- forgets what it knows. New devices do not count: nobody remembers that a device is unknown.
create table ingest.registry_version (
    singleton boolean primary key default true check (singleton),
    version   bigint not null
);
insert into ingest.registry_version (version) values (1);
create function ingest.registry_changed() returns trigger language plpgsql as
$$ begin update ingest.registry_version set version = version + 1; return null; end $$;
create trigger changed after update or delete on ingest.device
    for each statement execute function ingest.registry_changed();
create trigger changed after insert or update or delete on ingest.metric
    for each statement execute function ingest.registry_changed();
create trigger changed after insert or update or delete on ingest.fault_code
    for each statement execute function ingest.registry_changed();

-- Uids that knocked without being provisioned; an operator provisions or ignores them.
create table ingest.unknown_device (
    uid        text primary key,
    door       text not null,
    first_seen timestamptz not null,
    last_seen  timestamptz not null,
    messages   bigint not null default 1,
    last_topic text
);

-- A shape is a registered list of metric names: telemetry rows carry its id and an array of values.
create table ingest.shape (
    id      int generated always as identity primary key,
    metrics text[] not null unique
);

-- One committed write: the fact that analytics follows.
create table ingest.batch (
    id           bigint generated always as identity primary key,
    xid          xid8 not null default pg_current_xact_id(),
    door         text not null,                 -- endpoint, collector, replay, seed
    messages     int not null,
    rows         int not null,
    readings     int not null,
    duplicates   int not null,
    first_ts     timestamptz,                   -- range of the telemetry rows; null when there are none
    last_ts      timestamptz,
    committed_at timestamptz not null default clock_timestamp()
);
create index on ingest.batch (xid, id);
create trigger wake after insert on ingest.batch for each statement execute function kit.wake();

-- ingest.telemetry (batch_id bigint, ts timestamptz, device_id int, seq bigint, shape_id int, "values" float8[],
-- received_at timestamptz; unique (device_id, ts, seq)) is made by ingest/storage.py: partitioned natively or a
-- hypertable, whichever the server can do.
create table ingest.storage_meta (
    singleton boolean primary key default true check (singleton),
    level     text not null check (level in ('plain', 'timescale_apache', 'timescale_community')),
    chunk     interval not null
);

create table ingest.fault_event (
    id          bigint generated always as identity primary key,
    xid         xid8 not null default pg_current_xact_id(),
    batch_id    bigint not null,
    device_id   int not null references ingest.device,
    ts          timestamptz not null,
    code        text not null,
    active      boolean not null,               -- raised or cleared
    received_at timestamptz not null default kit.now(),
    unique (device_id, ts, code, active)
);
create index on ingest.fault_event (xid, id);
create index on ingest.fault_event (batch_id);
create trigger wake after insert on ingest.fault_event for each statement execute function kit.wake();

create table ingest.device_state (
    id        bigint generated always as identity primary key,
    xid       xid8 not null default pg_current_xact_id(),
    device_id int not null references ingest.device,
    ts        timestamptz not null,
    online    boolean not null,
    reason    text not null,                    -- connected, disconnected, will, keep_alive, reported
    unique (device_id, ts, online, reason)
);
create index on ingest.device_state (xid, id);

-- The present of each device, for lists; one row a device.
create table ingest.device_status (
    device_id   int primary key references ingest.device,
    online      boolean not null default false,
    online_at   timestamptz,                    -- event time of the last change of `online`
    last_ts     timestamptz,                    -- newest telemetry, event time
    received_at timestamptz,
    messages    bigint not null default 0
) with (fillfactor = 70);

-- The run-hours counter as classified (ingest/counters.py): life = hours ever run, whatever the counter showed.
create table ingest.run_hours (
    device_id int primary key references ingest.device,
    ts        timestamptz not null,             -- of the newest counted reading
    raw       double precision not null,
    life      double precision not null
) with (fillfactor = 70);
create table ingest.run_hours_day (
    device_id int not null,                     -- no foreign key: run_hours has one, and a day is added often
    day       date not null,                    -- UTC
    hours     double precision not null check (hours >= 0),
    -- The state after the day's last counted reading: from here hours can be counted again when late data says so.
    -- Null: no counted reading fell on this day.
    counted   double precision not null,        -- the part of `hours` up to that reading
    first_ts  timestamptz,                      -- the day's first counted reading
    ts        timestamptz,
    raw       double precision,
    life      double precision,
    primary key (device_id, day)
);

-- A counter that was exchanged or set: it showed `old_raw` before and `new_raw` after.
create table ingest.counter_replacement (
    device_id   int not null references ingest.device,
    ts          timestamptz not null,
    old_raw     double precision not null check (old_raw >= 0),
    new_raw     double precision not null check (new_raw >= 0),
    declared_at timestamptz not null default kit.now(),
    primary key (device_id, ts)
);

-- Devices whose hours have to be counted again from `since`, because a late reading does not lie on the path that
-- was counted; append-only, emptied by the worker.
create table ingest.run_hours_dirty (device_id int not null, since timestamptz not null);

-- Single values that were refused while the rest of their message was stored.
create table ingest.quarantine (
    id          bigint generated always as identity primary key,
    device_id   int not null references ingest.device,
    ts          timestamptz not null,
    item        text not null,                  -- metric name or fault code
    value       text,
    reason      text not null,                  -- see ingest/reasons.py
    detail      text not null,
    received_at timestamptz not null default kit.now(),
    unique (device_id, ts, item, reason)
);
create index on ingest.quarantine (received_at);

-- Whole messages that could not be used. Kept, listed, replayed after a fix, purged by an operator.
create table ingest.dead_letter (
    id          bigint generated always as identity primary key,
    door        text not null,
    topic       text not null,
    client_id   text,
    device_uid  text,
    payload     bytea not null,                 -- at most the first 64 kB
    size        int not null,
    reason      text not null,                  -- see ingest/reasons.py
    detail      text not null,                  -- what was wrong, where, and what would be right
    received_at timestamptz not null default kit.now(),
    replayed_at timestamptz
);
create index on ingest.dead_letter (received_at);

-- Totals that survive purges, for /metrics; written in the transaction of what they count.
create table ingest.total (
    door  text not null,
    name  text not null,                        -- messages, readings, duplicates, or refused:<reason>
    value bigint not null,
    primary key (door, name)
);

-- Hours whose rollup is out of date, from `first` to `last`; append-only, see ingest/rollup.py.
create table ingest.rollup_dirty (device_id int not null, first timestamptz not null, last timestamptz not null);
create table ingest.reading_hour (
    device_id int not null,
    metric    text not null,
    bucket    timestamptz not null,
    n         int not null,
    mean      double precision not null,
    low       double precision not null,
    high      double precision not null,
    first     double precision not null,
    last      double precision not null,
    primary key (device_id, metric, bucket)
);
