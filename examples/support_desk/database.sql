-- The support desk database of the fictional company Quillmark Devices (SQLite).
-- All customers, addresses and orders are invented. "Today" in the demo is 2026-11-25.

PRAGMA foreign_keys = ON;

CREATE TABLE customers (
    id     TEXT PRIMARY KEY CHECK (id GLOB 'C-[0-9]*'),
    tenant TEXT NOT NULL CHECK (tenant IN ('alder-clinics', 'bexley-schools')),
    name   TEXT NOT NULL,
    email  TEXT NOT NULL UNIQUE CHECK (email LIKE '%.example'),
    UNIQUE (id, tenant)
);

CREATE TABLE orders (
    id           TEXT PRIMARY KEY CHECK (id GLOB 'QM-[0-9]*'),
    tenant       TEXT NOT NULL,
    customer_id  TEXT NOT NULL,
    product      TEXT NOT NULL,
    quantity     INTEGER NOT NULL CHECK (quantity > 0),
    total_usd    REAL NOT NULL CHECK (total_usd >= 0),
    status       TEXT NOT NULL
        CHECK (status IN ('processing', 'shipped', 'delivered', 'cancelled', 'returned')),
    ordered_on   TEXT NOT NULL CHECK (ordered_on = date(ordered_on)),
    delivered_on TEXT
        CHECK (delivered_on IS NULL OR (delivered_on = date(delivered_on) AND delivered_on >= ordered_on)),
    CHECK ((status IN ('delivered', 'returned')) = (delivered_on IS NOT NULL)),
    UNIQUE (id, tenant),
    FOREIGN KEY (customer_id, tenant) REFERENCES customers (id, tenant)
);

CREATE TABLE tickets (
    id          TEXT PRIMARY KEY CHECK (id GLOB 'T-[0-9]*'),
    tenant      TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    order_id    TEXT,
    subject     TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('open', 'pending', 'resolved', 'closed')),
    priority    TEXT NOT NULL CHECK (priority IN ('P1', 'P2', 'P3', 'P4')),
    opened_on   TEXT NOT NULL CHECK (opened_on = date(opened_on)),
    updated_on  TEXT NOT NULL CHECK (updated_on = date(updated_on) AND updated_on >= opened_on),
    FOREIGN KEY (customer_id, tenant) REFERENCES customers (id, tenant),
    FOREIGN KEY (order_id, tenant) REFERENCES orders (id, tenant)
);

CREATE TABLE refunds (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant          TEXT NOT NULL,
    order_id        TEXT NOT NULL,
    amount_usd      REAL NOT NULL CHECK (amount_usd > 0),
    reason          TEXT NOT NULL CHECK (length(reason) > 0),
    approved_by     TEXT NOT NULL CHECK (length(approved_by) > 0),
    created_at      TEXT NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    FOREIGN KEY (order_id, tenant) REFERENCES orders (id, tenant)
);

CREATE INDEX orders_by_tenant ON orders (tenant, ordered_on);
CREATE INDEX tickets_by_tenant ON tickets (tenant, status);
CREATE INDEX refunds_by_order ON refunds (order_id);

INSERT INTO customers (id, tenant, name, email) VALUES
    ('C-111', 'alder-clinics',  'Maren Oakhollow',    'maren.oakhollow@alder-clinics.example'),
    ('C-112', 'alder-clinics',  'Josip Venterby',     'josip.venterby@alder-clinics.example'),
    ('C-113', 'alder-clinics',  'Adaeze Thornlow',    'adaeze.thornlow@alder-clinics.example'),
    ('C-114', 'alder-clinics',  'Lorcan Speyfield',   'lorcan.speyfield@alder-clinics.example'),
    ('C-115', 'alder-clinics',  'Birgit Quenby',      'birgit.quenby@alder-clinics.example'),
    ('C-116', 'alder-clinics',  'Teodor Marlwick',    'teodor.marlwick@alder-clinics.example'),
    ('C-117', 'bexley-schools', 'Sunniva Cartmoor',   'sunniva.cartmoor@bexley-schools.example'),
    ('C-118', 'bexley-schools', 'Hamish Pellowdale',  'hamish.pellowdale@bexley-schools.example'),
    ('C-119', 'bexley-schools', 'Yolanda Brackenridge', 'yolanda.brackenridge@bexley-schools.example'),
    ('C-120', 'bexley-schools', 'Piet Ashgrovian',    'piet.ashgrovian@bexley-schools.example'),
    ('C-121', 'bexley-schools', 'Nerys Holmcastle',   'nerys.holmcastle@bexley-schools.example'),
    ('C-122', 'bexley-schools', 'Oluchi Dunwater',    'oluchi.dunwater@bexley-schools.example');

INSERT INTO orders (id, tenant, customer_id, product, quantity, total_usd, status, ordered_on, delivered_on) VALUES
    ('QM-10013', 'alder-clinics',  'C-111', 'QL-20W label printer',               4, 1036.00, 'delivered',  '2026-06-09', '2026-06-12'),
    ('QM-10014', 'bexley-schools', 'C-117', 'QL-20 label printer',                6, 1314.00, 'delivered',  '2026-06-15', '2026-06-19'),
    ('QM-10015', 'alder-clinics',  'C-112', 'QS-3H healthcare scanner',          10, 2690.00, 'delivered',  '2026-07-02', '2026-07-06'),
    ('QM-10016', 'bexley-schools', 'C-118', 'LB-62W label rolls, carton of 12',   5,  240.00, 'delivered',  '2026-08-20', '2026-08-25'),
    ('QM-10017', 'alder-clinics',  'C-113', 'QS-1 corded scanner',                2,  178.00, 'delivered',  '2026-11-16', '2026-11-20'),
    ('QM-10018', 'bexley-schools', 'C-119', 'QP-5 portable printer',              1,  349.00, 'returned',   '2026-08-31', '2026-09-04'),
    ('QM-10019', 'alder-clinics',  'C-114', 'LB-50C cold-store labels, carton of 8', 6, 372.00, 'delivered', '2026-09-01', '2026-09-04'),
    ('QM-10020', 'bexley-schools', 'C-120', 'QL-10 label printer',               12, 1548.00, 'delivered',  '2026-09-03', '2026-09-08'),
    ('QM-10021', 'alder-clinics',  'C-115', 'QS-3 cordless scanner',              3,  597.00, 'delivered',  '2026-09-10', '2026-09-15'),
    ('QM-10022', 'bexley-schools', 'C-121', 'BT-5 battery for QP-5',              4,  152.00, 'delivered',  '2026-09-14', '2026-09-18'),
    ('QM-10023', 'alder-clinics',  'C-116', 'QL-40 industrial printer',           2, 1788.00, 'delivered',  '2026-09-21', '2026-09-24'),
    ('QM-10024', 'bexley-schools', 'C-122', 'Label Bench Pro licence, one year', 10,  600.00, 'delivered',  '2026-09-22', '2026-09-22'),
    ('QM-10025', 'alder-clinics',  'C-111', 'PH-20 print head',                   2,  128.00, 'delivered',  '2026-09-28', '2026-10-01'),
    ('QM-10026', 'bexley-schools', 'C-117', 'QS-3 cordless scanner',              5,  995.00, 'cancelled',  '2026-10-01', NULL),
    ('QM-10027', 'alder-clinics',  'C-112', 'QL-20W label printer',               1,  259.00, 'delivered',  '2026-10-06', '2026-10-09'),
    ('QM-10028', 'bexley-schools', 'C-118', 'QS-1 corded scanner',                8,  712.00, 'delivered',  '2026-10-08', '2026-10-13'),
    ('QM-10029', 'alder-clinics',  'C-113', 'LB-62W label rolls, carton of 12',  10,  480.00, 'delivered',  '2026-10-12', '2026-10-15'),
    ('QM-10030', 'bexley-schools', 'C-119', 'LB-29A address labels, carton of 12', 3, 108.00, 'delivered',  '2026-10-19', '2026-10-22'),
    ('QM-10031', 'alder-clinics',  'C-114', 'RB-110 wax-resin ribbon, box of 6', 4,   168.00, 'cancelled',  '2026-10-20', NULL),
    ('QM-10032', 'bexley-schools', 'C-120', 'QL-20W label printer',               2,  518.00, 'delivered',  '2026-10-27', '2026-10-30'),
    ('QM-10033', 'alder-clinics',  'C-115', 'QS-3H healthcare scanner',           4, 1076.00, 'delivered',  '2026-10-29', '2026-11-03'),
    ('QM-10034', 'bexley-schools', 'C-121', 'QL-10 label printer',                1,  129.00, 'delivered',  '2026-11-05', '2026-11-10'),
    ('QM-10035', 'alder-clinics',  'C-116', 'QP-5 portable printer',              2,  698.00, 'delivered',  '2026-11-09', '2026-11-13'),
    ('QM-10036', 'bexley-schools', 'C-122', 'QL-20 label printer',                3,  657.00, 'delivered',  '2026-11-12', '2026-11-17'),
    ('QM-10037', 'alder-clinics',  'C-111', 'CR-3 charging cradle',               2,  118.00, 'shipped',    '2026-11-18', NULL),
    ('QM-10038', 'bexley-schools', 'C-117', 'LB-62W label rolls, carton of 12',   4,  192.00, 'shipped',    '2026-11-19', NULL),
    ('QM-10039', 'alder-clinics',  'C-112', 'QL-40 industrial printer',           3, 2682.00, 'processing', '2026-11-20', NULL),
    ('QM-10040', 'bexley-schools', 'C-118', 'QP-5 portable printer',              2,  698.00, 'processing', '2026-11-23', NULL),
    ('QM-10041', 'bexley-schools', 'C-119', 'PS-24 power adapter',                5,  145.00, 'processing', '2026-11-24', NULL),
    ('QM-10042', 'alder-clinics',  'C-113', 'QL-20W label printer',               2,  518.00, 'shipped',    '2026-11-20', NULL);

INSERT INTO tickets (id, tenant, customer_id, order_id, subject, status, priority, opened_on, updated_on) VALUES
    ('T-2216', 'alder-clinics',  'C-111', 'QM-10013', 'Printer prints blank labels',                  'closed',   'P3', '2026-07-20', '2026-07-23'),
    ('T-2217', 'bexley-schools', 'C-117', 'QM-10014', 'Cannot find printer on the network',           'closed',   'P3', '2026-08-03', '2026-08-05'),
    ('T-2218', 'alder-clinics',  'C-112', 'QM-10015', 'Scanner does not pair with cradle',            'closed',   'P2', '2026-08-11', '2026-08-12'),
    ('T-2219', 'bexley-schools', 'C-119', 'QM-10018', 'Portable printer does not charge',             'resolved', 'P3', '2026-09-07', '2026-09-16'),
    ('T-2220', 'alder-clinics',  'C-114', 'QM-10019', 'Labels come off in the freezer',               'resolved', 'P2', '2026-09-18', '2026-09-29'),
    ('T-2221', 'bexley-schools', 'C-120', 'QM-10020', 'Two printers missing a power cable',           'resolved', 'P4', '2026-09-09', '2026-09-14'),
    ('T-2222', 'alder-clinics',  'C-116', 'QM-10023', 'Error E-402 after ribbon change',              'resolved', 'P2', '2026-10-02', '2026-10-07'),
    ('T-2223', 'bexley-schools', 'C-122', 'QM-10024', 'Licence key already in use',                   'closed',   'P4', '2026-09-25', '2026-09-28'),
    ('T-2224', 'alder-clinics',  'C-111', 'QM-10025', 'Invoice shows wrong cost centre',              'closed',   'P4', '2026-10-05', '2026-10-08'),
    ('T-2225', 'bexley-schools', 'C-118', 'QM-10028', 'Scanner beeps twice and reads nothing',        'pending',  'P3', '2026-10-20', '2026-11-10'),
    ('T-2226', 'alder-clinics',  'C-112', 'QM-10027', 'Printer offline after firmware update',        'pending',  'P2', '2026-10-14', '2026-11-18'),
    ('T-2227', 'bexley-schools', 'C-117', 'QM-10026', 'Why was our scanner order cancelled?',         'resolved', 'P4', '2026-10-06', '2026-10-09'),
    ('T-2228', 'alder-clinics',  'C-115', 'QM-10033', 'Scanner window scratched on arrival',          'open',     'P3', '2026-11-05', '2026-11-19'),
    ('T-2229', 'bexley-schools', 'C-120', 'QM-10032', 'Wi-Fi drops every afternoon',                  'open',     'P2', '2026-11-09', '2026-11-23'),
    ('T-2230', 'alder-clinics',  'C-116', 'QM-10035', 'Battery drains overnight',                     'open',     'P3', '2026-11-16', '2026-11-20'),
    ('T-2231', 'alder-clinics',  'C-113', 'QM-10017', 'Corded scanner arrived with a broken housing', 'open',     'P2', '2026-11-20', '2026-11-24'),
    ('T-2232', 'bexley-schools', 'C-121', 'QM-10034', 'Printer feeds three labels at once',           'open',     'P3', '2026-11-17', '2026-11-18'),
    ('T-2233', 'bexley-schools', 'C-122', 'QM-10036', 'One of three printers was delivered cracked',  'open',     'P2', '2026-11-18', '2026-11-24'),
    ('T-2234', 'alder-clinics',  'C-114', NULL,       'Request for training on Label Bench',          'pending',  'P4', '2026-11-19', '2026-11-19'),
    ('T-2235', 'bexley-schools', 'C-118', NULL,       'Delivery contact has changed',                 'closed',   'P4', '2026-11-02', '2026-11-03');
