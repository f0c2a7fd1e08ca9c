-- The clock: one row. Production leaves it alone (rate 1, equal anchors); see kit/clock.py.
create table kit.clock (
    singleton   boolean primary key default true check (singleton),
    wall_anchor timestamptz not null,
    sim_anchor  timestamptz not null,
    rate        double precision not null check (rate >= 0)
);
insert into kit.clock (wall_anchor, sim_anchor, rate) values ('2000-01-01 00:00+00', '2000-01-01 00:00+00', 1);

-- How far each follower has come in the fact table it follows (see kit/follow.py).
create table kit.follower (
    name       text primary key,
    source     text not null,
    xid        xid8 not null default '0',
    id         bigint not null default 0,
    updated_at timestamptz not null default clock_timestamp()
);

-- A fact that a follower could not handle, set aside so that the stream goes on.
create table kit.failed_fact (
    follower  text not null,
    xid       xid8 not null,
    id        bigint not null,
    error     text not null,
    failed_at timestamptz not null default clock_timestamp(),
    primary key (follower, xid, id)
);

-- The processes, and what each says of itself (buffer depth, connections, …); `kit.process_seen` says which live.
create table kit.process (
    name        text primary key,
    pid         int not null,
    appeared_at timestamptz not null default clock_timestamp(),  -- under this name; a restart does not change it
    started_at  timestamptz not null default clock_timestamp(),
    beat_at     timestamptz not null default clock_timestamp(),
    detail      jsonb not null default '{}'
);

-- Small values the product keeps for itself (the session secret, the demo's seed, …).
create table kit.state (
    name  text primary key,
    value jsonb not null
);
