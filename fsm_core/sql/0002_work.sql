-- Order types choose guards as data.
create table fsm.order_type (
    code            text primary key,
    name_en         text not null,
    name_zh         text not null,
    needs_signature boolean not null,
    needs_codes     boolean not null,          -- cause and remedy before work_done
    needs_checklist boolean not null
);
insert into fsm.order_type values
    ('repair',       'Repair',                 '维修', true,  true,  true),
    ('condition',    'Condition-based maintenance', '视情维护', true, true, true),
    ('repeat',       'Repeat repair',          '返修', true,  true,  true),
    ('maintenance',  'Planned maintenance',    '计划保养', true,  false, true),
    ('inspection',   'Inspection',             '巡检', false, false, true),
    ('installation', 'Installation',           '安装', true,  false, true),
    ('return',       'Return',                 '退货', true,  false, false),
    ('consultation', 'Consultation',           '咨询', false, false, false);

-- After ISO 14224 tables B.2 (failure mechanism), B.3 (cause) and B.5 (maintenance activity).
insert into fsm.repair_code values
    ('cause',  'wear',             'Wear',                    '磨损',       false),
    ('cause',  'fouling',          'Fouling or blockage',     '结垢或堵塞', false),
    ('cause',  'leakage',          'Leakage',                 '泄漏',       false),
    ('cause',  'electrical_fault', 'Electrical fault',        '电气故障',   false),
    ('cause',  'control_fault',    'Control or sensor fault', '控制或传感器故障', false),
    ('cause',  'material_defect',  'Material or manufacturing defect', '材料或制造缺陷', false),
    ('cause',  'maintenance_error','Earlier maintenance error', '维修失误', false),
    ('cause',  'no_fault_found',   'No fault found',          '未发现故障', false),
    ('cause',  'operating_error',  'Operating error (misuse)', '操作失误（误用）', true),
    ('cause',  'outside_limits',   'Run outside its limits (misuse)', '超限运行（误用）', true),
    ('remedy', 'replace',          'Replaced',                '更换', false),
    ('remedy', 'repair',           'Repaired',                '修复', false),
    ('remedy', 'adjust',           'Adjusted',                '调整', false),
    ('remedy', 'refit',            'Cleaned or refitted',     '清洁或重装', false),
    ('remedy', 'inspect',          'Inspected, nothing done', '检查，未处理', false);

create table fsm.work_order (
    id            bigint generated always as identity primary key,
    number        text not null unique generated always as ('WO-' || lpad(id::text, 6, '0')) stored,
    type          text not null references fsm.order_type,
    state         text not null default 'new' check (state in ('new', 'accepted', 'assigned', 'confirmed', 'in_progress',
                      'on_hold', 'work_done', 'reviewed', 'settled', 'closed', 'cancelled')),
    version       int not null default 1,
    source        text not null check (source in ('automatic', 'desk', 'website', 'telephone', 'wechat', 'plan')),
    device_id     int references fsm.device,   -- null: explicitly no device
    site_id       int not null references fsm.site,
    customer_id   int not null references fsm.customer,
    provider_id   int references fsm.provider, -- routed to a provider, who assigns own staff; null: own staff
    failure_mode  text,
    component     text,
    solution_id   int references fsm.solution,
    priority      int not null check (priority between 1 and 4),
    title_en      text not null,
    title_zh      text not null,
    description   text not null default '',
    description_zh text not null default '',
    fault_at      timestamptz not null,        -- when the fault began, by telemetry where there is any
    opened_at     timestamptz not null,
    skill         text,                        -- needed skill
    standard_hours numeric(6,2) not null default 1,
    repeat_of     bigint references fsm.work_order,
    hold_reason   text,
    cause_code    text,
    remedy_code   text,
    note          text not null default '',
    request_key   text unique                  -- idempotency key of the channel that opened it
);
create index on fsm.work_order (state, opened_at desc);
create index on fsm.work_order (device_id, opened_at desc);
create index on fsm.work_order (customer_id);
create index on fsm.work_order (site_id, fault_at) where source = 'automatic';

-- Settled means priced and posted: at the end of the transaction the settlement is there (its table comes in 0004).
create or replace function fsm.check_settled() returns trigger language plpgsql as $$
begin
    if not exists (select from fsm.settlement where order_id = new.id) then
        raise exception '% has no settlement: settle it, do not only move it', new.number using errcode = '23514';
    end if;
    return null;
end $$;
create constraint trigger settled_is_priced after update of state on fsm.work_order deferrable initially deferred
    for each row when (new.state = 'settled' and old.state <> 'settled') execute function fsm.check_settled();

-- One episode per open (device, failure mode): the index is the rule.
create table fsm.episode (
    id           bigint generated always as identity primary key,
    device_id    int not null references fsm.device,
    failure_mode text not null,
    opened_at    timestamptz not null,         -- first raise, event time
    last_raise_at timestamptz not null,
    cleared_at   timestamptz,                  -- newest clear, event time: it stands while after last_raise_at
    closed_at    timestamptz,                  -- its order ended
    order_id     bigint references fsm.work_order
);
create unique index one_open_episode on fsm.episode (device_id, failure_mode) where closed_at is null;
create index on fsm.episode (order_id);
create index on fsm.episode (device_id, failure_mode, closed_at);

-- What became of every detection, and by which rule.
create table fsm.episode_signal (
    detection_id bigint primary key references analytics.detection,
    episode_id   bigint references fsm.episode,
    order_id     bigint references fsm.work_order,
    outcome      text not null check (outcome in ('opened', 'attached', 'reopened', 'suppressed', 'cleared', 'cancelled',
                                                  'ignored')),
    rule         text not null,                -- names the rule that decided
    decided_at   timestamptz not null
);
create index on fsm.episode_signal (episode_id);
create index on fsm.episode_signal (order_id);
create index on fsm.episode_signal (rule) where outcome = 'suppressed';

create table fsm.visit (
    id             bigint generated always as identity primary key,
    order_id       bigint not null references fsm.work_order,
    technician_id  int not null references fsm.technician,
    state          text not null default 'planned' check (state in ('planned', 'confirmed', 'declined', 'traveling',
                       'on_site', 'working', 'paused', 'done', 'incomplete', 'cancelled')),
    version        int not null default 1,
    travel_start   timestamptz not null,       -- planned: leaves for the site …
    planned_start  timestamptz not null,       -- … begins work …
    planned_end    timestamptz not null,       -- … ends work
    travel_minutes double precision not null default 0,
    distance_km    double precision not null default 0,
    planned_by     text not null,              -- automatic, manual, pool
    explanation    jsonb not null default '{}',
    confirmed_at   timestamptz,
    traveling_at   timestamptz,
    on_site_at     timestamptz,
    site_distance_m double precision,          -- check-in position to the site
    working_at     timestamptz,                -- first start
    working_since  timestamptz,                -- of the stretch now running; null: not working
    ended_at       timestamptz,
    worked_minutes double precision not null default 0,   -- without pauses
    decline_reason text,
    check (travel_start <= planned_start and planned_start < planned_end),
    constraint one_place_at_a_time exclude using gist
        (technician_id with =, tstzrange(travel_start, planned_end) with &&)
        where (state in ('planned', 'confirmed', 'traveling', 'on_site', 'working', 'paused'))
);
create unique index one_open_visit on fsm.visit (order_id)
    where state in ('planned', 'confirmed', 'traveling', 'on_site', 'working', 'paused');
create index on fsm.visit (technician_id, planned_start);
create index on fsm.visit (order_id);

-- Append-only: every move of an order or visit. Replaying it gives the same state. Settlement, messages follow it.
create table fsm.work_order_event (
    id         bigint generated always as identity primary key,
    xid        xid8 not null default pg_current_xact_id(),
    order_id   bigint not null references fsm.work_order,
    visit_id   bigint references fsm.visit,
    at         timestamptz not null,
    actor      text not null,                  -- user:<id> or rule:<name>
    action     text not null,
    subject    text not null check (subject in ('order', 'visit')),
    from_state text,
    to_state   text not null,
    reason     text,
    data       jsonb not null default '{}'
);
create index on fsm.work_order_event (xid, id);
create index on fsm.work_order_event (order_id, id);
create trigger wake after insert on fsm.work_order_event for each statement execute function kit.wake();

create table fsm.hold (
    id        bigint generated always as identity primary key,
    order_id  bigint not null references fsm.work_order,
    from_at   timestamptz not null,
    until_at  timestamptz,
    reason    text not null,
    stops_sla boolean not null
);
create unique index one_open_hold on fsm.hold (order_id) where until_at is null;

create table fsm.sla_clock (
    order_id   bigint not null references fsm.work_order,
    kind       text not null check (kind in ('accept', 'arrive', 'complete')),
    plan       text not null references fsm.sla_plan,
    calendar   text not null references fsm.calendar,
    minutes    int not null,
    started_at timestamptz not null,
    due_at     timestamptz not null,
    next_at    timestamptz,                    -- when the next rung is reached; null: all have fired
    stopped_at timestamptz,
    primary key (order_id, kind)
);
create index on fsm.sla_clock (due_at) where stopped_at is null;
create index on fsm.sla_clock (next_at) where stopped_at is null;
create table fsm.sla_rung (
    order_id bigint not null,
    kind     text not null,
    percent  int not null,                     -- 50, 75, 100
    due_at   timestamptz not null,
    fired_at timestamptz not null,
    primary key (order_id, kind, percent),
    foreign key (order_id, kind) references fsm.sla_clock
);

-- Decided when the order is accepted, at the fault time; a snapshot that later edits do not change.
create table fsm.entitlement (
    order_id    bigint not null references fsm.work_order,
    line        text not null check (line in ('labour', 'travel', 'parts')),
    payer       text not null check (payer in ('warranty', 'contract', 'goodwill', 'customer')),
    covered_pct numeric(5,2) not null check (covered_pct between 0 and 100),
    rule        text not null,                 -- part_warranty, device_warranty, parent_warranty, contract, billable, misuse
    reason_en   text not null,
    reason_zh   text not null,
    evidence    jsonb not null,
    decided_at  timestamptz not null,
    primary key (order_id, line)
);

-- What the solution expects, and what became of it.
create table fsm.order_part (
    order_id  bigint not null references fsm.work_order,
    part_id   int not null references fsm.part,
    expected  numeric(12,3) not null default 0,
    reserved  numeric(12,3) not null default 0,
    consumed  numeric(12,3) not null default 0,
    old_returned numeric(12,3) not null default 0,
    primary key (order_id, part_id),
    check (expected >= 0 and reserved >= 0 and consumed >= 0 and old_returned >= 0)
);

create table fsm.checklist_item (
    order_id bigint not null references fsm.work_order,
    position int not null,
    text_en  text not null,
    text_zh  text not null,
    done     boolean,
    primary key (order_id, position)
);

create table fsm.service_report (
    id         bigint generated always as identity primary key,
    order_id   bigint not null references fsm.work_order,
    version    int not null,
    body       jsonb not null,                 -- everything the customer signs for
    sha256     text not null,                  -- of the canonical body
    signed_by  text,
    signed_at  timestamptz,
    signature  text,                           -- SVG path data
    unique (order_id, version)
);

-- While it lasts, signals of the device (or of the whole site) come from the work on it.
create table fsm.maintenance_window (
    id        bigint generated always as identity primary key,
    site_id   int references fsm.site,
    device_id int references fsm.device,
    during    tstzrange not null,
    reason    text not null,
    check ((site_id is null) <> (device_id is null))
);
create index on fsm.maintenance_window using gist (during);

-- Maintenance by calendar or run-hours, whichever comes first.
create table fsm.maintenance_plan (
    id             int generated always as identity primary key,
    device_id      int not null references fsm.device,
    code           text not null,
    name_en        text not null,
    name_zh        text not null,
    type           text not null default 'maintenance' references fsm.order_type,
    floating       boolean not null default false,   -- counts from completion, not on a fixed grid
    every_months   int check (every_months > 0),
    every_days     int check (every_days > 0),
    every_hours    double precision check (every_hours > 0),
    dates          date[] not null default '{}',
    start_on       date not null,                    -- local date of the site; the grid's origin
    start_hours    double precision not null default 0,
    due_at_time    time not null default '09:00',
    lead_days      int not null default 7 check (lead_days >= 0),
    skill          text,
    standard_hours numeric(6,2) not null default 1 check (standard_hours > 0),
    checklist_en   text[] not null default '{}',
    checklist_zh   text[] not null default '{}',
    active         boolean not null default true,
    unique (device_id, code),
    check (num_nonnulls(every_months, every_days) <= 1),
    check (num_nonnulls(every_months, every_days, every_hours) > 0 or cardinality(dates) > 0)
);
-- One row per interval that came due; the key makes an order once.
create table fsm.maintenance_due (
    plan_id   int not null references fsm.maintenance_plan,
    key       text not null,                         -- date:2026-03-31, hours:1250
    due_at    timestamptz not null,
    missed    int not null default 0,                -- intervals that passed unserved before it
    order_id  bigint not null references fsm.work_order,
    primary key (plan_id, key)
);
create index on fsm.maintenance_due (order_id);

-- What wants a person's attention; once per cause.
create table fsm.alarm (
    id              bigint generated always as identity primary key,
    key             text not null unique,
    kind            text not null,                   -- sla
    order_id        bigint references fsm.work_order,
    severity        int not null check (severity between 1 and 4),
    text_en         text not null,
    text_zh         text not null,
    raised_at       timestamptz not null,
    acknowledged_at timestamptz,
    acknowledged_by text
);
create index on fsm.alarm (raised_at) where acknowledged_at is null;

-- The outbox: written in the transaction of what it tells of, delivered afterwards.
create table fsm.message (
    id           bigint generated always as identity primary key,
    key          text not null unique,               -- the same news is told once
    channel      text not null check (channel in ('console', 'email', 'sms', 'wechat')),
    recipient    text not null,
    language     text not null check (language in ('en', 'zh')),
    template     text not null,
    subject      text not null,
    body         text not null,
    order_id     bigint references fsm.work_order,
    state        text not null default 'queued' check (state in ('queued', 'sent', 'failed')),
    attempts     int not null default 0,
    error        text,
    created_at   timestamptz not null,
    next_try_at  timestamptz not null,
    sent_at      timestamptz
);
create index on fsm.message (next_try_at) where state = 'queued';
create index on fsm.message (order_id);
