-- Master data: who is served, by whom, with what, under which promise.
create extension if not exists btree_gist with schema public;
create extension if not exists pg_trgm with schema public;

-- Working time of a customer's promise or of a technician's shift.
create table fsm.calendar (
    code     text primary key,
    timezone text not null,                    -- IANA name
    week     jsonb not null,                   -- {"1": [["09:00","17:00"]], …}; ISO weekday 1 = Monday
    holidays date[] not null default '{}'
);

create table fsm.customer (
    id       int generated always as identity primary key,
    code     text not null unique,
    name     text not null,
    tier     text not null default 'standard' check (tier in ('standard', 'silver', 'gold')),
    email    text,
    phone    text,
    currency char(3) not null,
    language text not null default 'en' check (language in ('en', 'zh'))
);

create table fsm.site (
    id          int generated always as identity primary key,
    customer_id int not null references fsm.customer,
    name        text not null,
    address     text not null,
    latitude    double precision not null check (latitude between -90 and 90),
    longitude   double precision not null check (longitude between -180 and 180),
    timezone    text not null,
    contact     text,
    phone       text,
    unique (customer_id, name)
);

-- Targets in working minutes of the calendar, by order priority (1 is the most urgent).
create table fsm.sla_plan (
    code     text primary key,
    name_en  text not null,
    name_zh  text not null,
    calendar text not null references fsm.calendar
);
create table fsm.sla_target (
    plan     text not null references fsm.sla_plan,
    priority int not null check (priority between 1 and 4),
    kind     text not null check (kind in ('accept', 'arrive', 'complete')),
    minutes  int not null check (minutes > 0),
    primary key (plan, priority, kind)
);
-- Which plan a customer tier gets without a contract.
create table fsm.tier_plan (
    tier text primary key,
    plan text not null references fsm.sla_plan
);

create table fsm.contract (
    id          int generated always as identity primary key,
    number      text not null unique,
    customer_id int not null references fsm.customer,
    valid_from  date not null,
    valid_until date not null,                 -- inclusive
    labour_pct  numeric(5,2) not null check (labour_pct between 0 and 100),
    parts_pct   numeric(5,2) not null check (parts_pct between 0 and 100),
    travel_pct  numeric(5,2) not null check (travel_pct between 0 and 100),
    sla_plan    text references fsm.sla_plan,
    check (valid_from <= valid_until)
);

-- The device as an asset; its id is that of the telemetry registry.
create table fsm.device (
    id             int primary key references ingest.device,
    serial         text not null unique,
    site_id        int not null references fsm.site,
    parent_id      int references fsm.device,
    installed_on   date not null,
    warranty_until date,                       -- inclusive; null: none
    warranty_hours double precision,           -- whichever first; null: no hours limit
    criticality    int not null default 3 check (criticality between 1 and 4),
    qr_token       text not null unique
);
create index on fsm.device (site_id);

create table fsm.part (
    id            int generated always as identity primary key,
    sku           text not null unique,
    name_en       text not null,
    name_zh       text not null,
    list_price    numeric(18,4) not null check (list_price >= 0),
    serialised    boolean not null default false,
    returns_old   boolean not null default true,   -- the replaced part must be handed back
    warranty_days int not null default 90 check (warranty_days >= 0)
);

-- A part's own warranty on a device (from its installation by an order).
create table fsm.installed_part (
    id             int generated always as identity primary key,
    device_id      int not null references fsm.device,
    part_id        int not null references fsm.part,
    component      text not null,
    serial         text,
    installed_at   timestamptz not null,
    warranty_until timestamptz not null,
    order_id       bigint,
    removed_at     timestamptz
);
create index on fsm.installed_part (device_id) where removed_at is null;

-- How a failure mode of a model is repaired. Loaded from device-type files.
create table fsm.solution (
    id             int generated always as identity primary key,
    model          text not null,
    failure_mode   text not null,
    name_en        text not null,
    name_zh        text not null,
    skill          text not null,
    standard_hours numeric(6,2) not null check (standard_hours > 0),
    checklist_en   text[] not null default '{}',
    checklist_zh   text[] not null default '{}',
    unique (model, failure_mode),
    foreign key (model, failure_mode) references ingest.failure_mode
);
create table fsm.solution_part (
    solution_id int not null references fsm.solution,
    part_id     int not null references fsm.part,
    quantity    numeric(12,3) not null check (quantity > 0),
    primary key (solution_id, part_id)
);

-- Codes an engineer files a repair under (ISO 14224 tables B.2, B.3).
create table fsm.repair_code (
    kind    text not null check (kind in ('cause', 'remedy')),
    code    text not null,
    name_en text not null,
    name_zh text not null,
    misuse  boolean not null default false,    -- excludes every coverage
    primary key (kind, code)
);

create table fsm.provider (
    id           int generated always as identity primary key,
    code         text not null unique,
    name         text not null,
    hourly_rate  numeric(18,4) not null,
    call_out_fee numeric(18,4) not null
);

create table fsm.technician (
    id          int generated always as identity primary key,
    name        text not null,
    provider_id int references fsm.provider,   -- null: own staff
    skills      text[] not null,
    calendar    text not null references fsm.calendar,
    latitude    double precision not null,     -- home base
    longitude   double precision not null,
    hourly_cost numeric(18,4) not null,
    phone       text,
    active      boolean not null default true
);
create table fsm.absence (
    technician_id int not null references fsm.technician,
    during        tstzrange not null,
    reason        text not null,
    exclude using gist (technician_id with =, during with &&)
);
-- Last known position; written by check-ins.
create table fsm.position (
    technician_id int primary key references fsm.technician,
    latitude      double precision not null,
    longitude     double precision not null,
    at            timestamptz not null
);

create table fsm.user_account (
    id            int generated always as identity primary key,
    login         text not null unique,
    name          text not null,
    password_hash text not null,
    role          text not null check (role in ('admin', 'manager', 'dispatcher', 'engineer', 'reliability', 'finance',
                                                'provider', 'customer')),
    language      text not null default 'en' check (language in ('en', 'zh')),
    technician_id int references fsm.technician,
    provider_id   int references fsm.provider,
    customer_id   int references fsm.customer,
    active        boolean not null default true,
    is_demo       boolean not null default false
);

-- What a line costs the payer when nothing covers it.
create table fsm.price_list (
    currency         char(3) primary key,
    labour_per_hour  numeric(18,4) not null,
    travel_per_km    numeric(18,4) not null,
    call_out_fee     numeric(18,4) not null,
    tax_pct          numeric(5,2) not null,
    cost_per_km      numeric(18,4) not null
);
