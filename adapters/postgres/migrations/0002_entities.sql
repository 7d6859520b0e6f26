-- The tables of the eight entities, exactly as their declarations imply (a test compares), the tables beside them, and
-- the triggers that keep what a row inherits equal to its parent. Indexes derive from the declarations: none is here.
--
-- There are no foreign keys between these tables. A province delivers a project after its inspections, or never; a
-- contractor may be registered elsewhere, or under a mistyped code. Such rows are kept and shown, not refused: a link
-- that leads nowhere is null in an answer, and what hangs on an unknown parent is governed by 999999, which only its
-- own department and the ministry can see. Provinces must also remain separable into partitions or servers.
--
-- Every CHECK states something an answer relies on: regions and codes as policies and enums compare them, numbers and
-- dates that have a text form (no NaN, no infinity), texts that fit into an index. Whether an identifier's check digit
-- is right is not asked here: it is parsed where it enters, and some in circulation are wrong.

-- Citizen numbers of sole traders are found in columns for the codes of enterprises, which are public. Both have
-- eighteen characters of one alphabet, so the check digit (GB 11643-1999, ISO 7064 MOD 11-2) has to decide.
CREATE FUNCTION zlaq.is_citizen_no(code text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN code ~ '^[1-8][0-9]{5}(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]$' THEN
        substr('10X98765432', 1 + (
            substr(code, 1, 1)::integer * 7 + substr(code, 2, 1)::integer * 9 + substr(code, 3, 1)::integer * 10
            + substr(code, 4, 1)::integer * 5 + substr(code, 5, 1)::integer * 8 + substr(code, 6, 1)::integer * 4
            + substr(code, 7, 1)::integer * 2 + substr(code, 8, 1)::integer + substr(code, 9, 1)::integer * 6
            + substr(code, 10, 1)::integer * 3 + substr(code, 11, 1)::integer * 7 + substr(code, 12, 1)::integer * 9
            + substr(code, 13, 1)::integer * 10 + substr(code, 14, 1)::integer * 5 + substr(code, 15, 1)::integer * 8
            + substr(code, 16, 1)::integer * 4 + substr(code, 17, 1)::integer * 2
        ) % 11, 1) = substr(code, 18, 1)
    ELSE false
END;

-- Columns that several tables have in common; the templates are dropped again below.
CREATE TABLE zlaq.governed (
    manage text NOT NULL CONSTRAINT manage_check CHECK (manage ~ '^[0-9]{6}$'),
    manage_p2 text NOT NULL GENERATED ALWAYS AS (left(manage, 2)) STORED,
    manage_p4 text NOT NULL GENERATED ALWAYS AS (left(manage, 4)) STORED,
    owner_dept text NOT NULL DEFAULT '-' CONSTRAINT owner_dept_check
        CHECK (owner_dept = '-' OR owner_dept ~ '^[A-Z]{2}[0-9]{6}-[1-9][0-9]{0,3}$'),
    case_no text NOT NULL DEFAULT '-' CONSTRAINT case_no_check CHECK (length(case_no) BETWEEN 1 AND 64)
);

CREATE TABLE zlaq.located (
    site text NOT NULL CONSTRAINT site_check CHECK (site ~ '^[0-9]{6}$'),
    site_p2 text NOT NULL GENERATED ALWAYS AS (left(site, 2)) STORED,
    site_p4 text NOT NULL GENERATED ALWAYS AS (left(site, 4)) STORED,
    sens integer NOT NULL DEFAULT 0 CONSTRAINT sens_check CHECK (sens BETWEEN 0 AND 9)
);

CREATE TABLE zlaq.stamped (
    version integer NOT NULL DEFAULT 1 CONSTRAINT version_check CHECK (version > 0),
    updated_at timestamptz NOT NULL DEFAULT now() CONSTRAINT updated_at_check
        CHECK (updated_at BETWEEN '1000-01-01Z' AND '9999-12-31Z'),
    source_id text CONSTRAINT source_id_check CHECK (length(source_id) <= 100),
    data_as_of timestamptz CONSTRAINT data_as_of_check CHECK (data_as_of BETWEEN '1000-01-01Z' AND '9999-12-31Z')
);

CREATE TABLE zlaq.region (
    node_id text NOT NULL PRIMARY KEY CHECK (node_id ~ '^[0-9]{6}$'),
    code6 text CHECK (code6 ~ '^[0-9]{6}$'),
    code12 text CHECK (code12 ~ '^[0-9]{12}$'),
    name text NOT NULL CHECK (length(name) <= 200),
    level text NOT NULL CHECK (level IN ('COUNTRY', 'PROVINCE', 'PREFECTURE', 'COUNTY', 'ZONE', 'CORPS_DIVISION')),
    kind text NOT NULL CHECK (kind IN ('GB', 'DEV_ZONE', 'XPCC', 'SAR', 'PSEUDO')),
    parent_node_id text CHECK (parent_node_id ~ '^[0-9]{6}$'),
    supervision_parent_node_id text CHECK (supervision_parent_node_id ~ '^[0-9]{6}$'),
    valid_from date CHECK (valid_from BETWEEN '1000-01-01' AND '9999-12-31'),
    valid_to date CHECK (valid_to BETWEEN '1000-01-01' AND '9999-12-31'),
    successor_node_ids text[] NOT NULL DEFAULT '{}' CHECK (array_position(successor_node_ids, NULL) IS NULL),
    approval_doc_no text CHECK (length(approval_doc_no) <= 500),
    source_version text CHECK (length(source_version) <= 500),
    LIKE zlaq.stamped INCLUDING ALL
);

CREATE TABLE zlaq.department (
    dept_id text NOT NULL PRIMARY KEY CHECK (dept_id ~ '^[A-Z]{2}[0-9]{6}-[1-9][0-9]{0,3}$'),
    name text NOT NULL CHECK (length(name) <= 200),
    uscc text CHECK (length(uscc) = 18 AND NOT zlaq.is_citizen_no(uscc)),
    kind text NOT NULL
        CHECK (kind IN ('HOUSING', 'PLANNING', 'TRANSPORT', 'EMERGENCY', 'PUBLIC_SECURITY', 'FIRE', 'MARKET_REG',
            'HR', 'DRC', 'DISCIPLINE', 'AUDIT', 'DATA_AUTH', 'SUPERVISION_AGENCY', 'OTHER_GOV')),
    level text NOT NULL CHECK (level IN ('MINISTRY', 'PROVINCE', 'CITY', 'COUNTY')),
    region_node_id text NOT NULL CHECK (region_node_id ~ '^[0-9]{6}$'),
    jurisdiction_node_ids text[] NOT NULL DEFAULT '{}' CHECK (array_position(jurisdiction_node_ids, NULL) IS NULL),
    superior_dept_id text CHECK (superior_dept_id ~ '^[A-Z]{2}[0-9]{6}-[1-9][0-9]{0,3}$'),
    business_scopes text[] NOT NULL DEFAULT '{}'
        CHECK (business_scopes <@ ARRAY['SAFETY', 'DESIGN', 'QUALITY', 'RAIL', 'ENFORCEMENT']),
    address text CHECK (length(address) <= 500),
    duty_phone text CHECK (length(duty_phone) <= 50),
    contact_name text CHECK (length(contact_name) <= 200),
    contact_mobile text CHECK (length(contact_mobile) <= 50),
    status text NOT NULL CHECK (status IN ('1', '2', '3')),
    LIKE zlaq.stamped INCLUDING ALL
);

CREATE TABLE zlaq.enterprise (
    uscc text NOT NULL PRIMARY KEY CHECK (length(uscc) = 18 AND NOT zlaq.is_citizen_no(uscc)),
    legacy_org_code text CHECK (length(legacy_org_code) = 10),
    name text NOT NULL CHECK (length(name) <= 200),
    former_names text[] NOT NULL DEFAULT '{}' CHECK (array_position(former_names, NULL) IS NULL),
    economic_type text
        CHECK (economic_type IN ('110', '120', '130', '140', '150', '160', '170', '190', '200', '300', '900')),
    business_types text[] NOT NULL DEFAULT '{}'
        CHECK (business_types <@ ARRAY['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11']),
    registered_region_code text CHECK (registered_region_code ~ '^[0-9]{6}$'),
    registered_address text CHECK (length(registered_address) <= 500),
    legal_rep_name text CHECK (length(legal_rep_name) <= 200),
    legal_rep_id_type text CHECK (legal_rep_id_type IN ('111', '999')),
    legal_rep_id_no text CHECK (legal_rep_id_no ~ '^[0-9]{17}[0-9X]$'),
    registered_capital numeric CHECK (abs(registered_capital) < 1e31 AND scale(registered_capital) <= 12),
    founded_on date CHECK (founded_on BETWEEN '1000-01-01' AND '9999-12-31'),
    contact_name text CHECK (length(contact_name) <= 200),
    contact_mobile text CHECK (length(contact_mobile) <= 50),
    email text CHECK (length(email) <= 500),
    bank_account text CHECK (length(bank_account) <= 500),
    qualification_summary text CHECK (length(qualification_summary) <= 4000),
    credit_level text CHECK (length(credit_level) <= 500),
    source_province_code text CHECK (source_province_code ~ '^[0-9]{6}$'),
    LIKE zlaq.governed INCLUDING ALL,
    LIKE zlaq.stamped INCLUDING ALL
);

CREATE TABLE zlaq.person (
    person_no text NOT NULL PRIMARY KEY CHECK (length(person_no) = 25),
    name text CHECK (length(name) <= 200),
    gender text CHECK (gender IN ('0', '1', '2', '9')),
    birth_date date CHECK (birth_date BETWEEN '1000-01-01' AND '9999-12-31'),
    birth_year integer GENERATED ALWAYS AS (extract(year FROM birth_date)::integer) STORED,
    id_type text CHECK (id_type IN ('111', '999')),
    id_no text CHECK (id_no ~ '^[0-9]{17}[0-9X]$'),
    mobile text CHECK (length(mobile) <= 50),
    photo text CHECK (length(photo) <= 500),
    education text CHECK (education IN ('10', '20', '30', '40', '60', '70', '80', '90')),
    technical_title text CHECK (technical_title IN ('1', '2', '3', '4', '5', '9')),
    current_enterprise_uscc text
        CHECK (length(current_enterprise_uscc) = 18 AND NOT zlaq.is_citizen_no(current_enterprise_uscc)),
    address text CHECK (length(address) <= 500),
    real_name_verified boolean NOT NULL,
    holder_uscc text NOT NULL GENERATED ALWAYS AS (coalesce(current_enterprise_uscc, '-')) STORED,
    LIKE zlaq.governed INCLUDING ALL,
    LIKE zlaq.stamped INCLUDING ALL,
    CHECK (manage <> '000000')
);

CREATE TABLE zlaq.project (
    project_no text NOT NULL PRIMARY KEY CHECK (project_no ~ '^[0-9]{16,18}$'),
    project_code text CHECK (length(project_code) = 24),
    local_project_id text CHECK (length(local_project_id) <= 500),
    name text NOT NULL CHECK (length(name) <= 200),
    project_type text CHECK (project_type IN ('01', '02', '99')),
    build_nature text CHECK (build_nature IN ('001', '002', '003', '004', '005', '006', '099')),
    usage text
        CHECK (usage IN ('100', '200', '300', '301', '302', '303', '304', '305', '306', '307', '400', '500', '600',
            '700', '800', '999', '010', '011', '012', '013', '014', '015', '016', '017', '018', '099')),
    approval_doc_no text CHECK (length(approval_doc_no) <= 500),
    approval_level text CHECK (approval_level IN ('001', '002', '003', '004')),
    developer_uscc text CHECK (length(developer_uscc) = 18 AND NOT zlaq.is_citizen_no(developer_uscc)),
    developer_name text CHECK (length(developer_name) <= 200),
    contractor_uscc text CHECK (length(contractor_uscc) = 18 AND NOT zlaq.is_citizen_no(contractor_uscc)),
    province_code text CHECK (province_code ~ '^[0-9]{6}$'),
    city_code text CHECK (city_code ~ '^[0-9]{6}$'),
    county_code text CHECK (county_code ~ '^[0-9]{6}$'),
    address text CHECK (length(address) <= 500),
    longitude numeric CHECK (longitude BETWEEN -180 AND 180 AND scale(longitude) <= 12),
    latitude numeric CHECK (latitude BETWEEN -90 AND 90 AND scale(latitude) <= 12),
    datum text CHECK (length(datum) <= 50),
    total_investment numeric CHECK (abs(total_investment) < 1e31 AND scale(total_investment) <= 12),
    state_invest_ratio numeric CHECK (abs(state_invest_ratio) < 1e31 AND scale(state_invest_ratio) <= 12),
    total_area numeric CHECK (abs(total_area) < 1e31 AND scale(total_area) <= 12),
    planned_start date CHECK (planned_start BETWEEN '1000-01-01' AND '9999-12-31'),
    planned_end date CHECK (planned_end BETWEEN '1000-01-01' AND '9999-12-31'),
    status text CHECK (status IN ('1', '2', '3', '4', '5')),
    data_level text CHECK (data_level IN ('A', 'B', 'C', 'D')),
    holder_uscc text NOT NULL GENERATED ALWAYS AS (coalesce(contractor_uscc, '-')) STORED,
    LIKE zlaq.governed INCLUDING ALL,
    LIKE zlaq.located INCLUDING ALL,
    LIKE zlaq.stamped INCLUDING ALL
);

CREATE TABLE zlaq.safety_manager_certificate (
    cert_no text NOT NULL PRIMARY KEY CHECK (length(cert_no) IN (17, 18)),
    e_cert_id text CHECK (length(e_cert_id) BETWEEN 62 AND 128),
    category_code text NOT NULL CHECK (category_code IN ('A', 'B', 'C1', 'C2', 'C3')),
    person_no text NOT NULL CHECK (length(person_no) = 25),
    name text CHECK (length(name) <= 200),
    id_no text CHECK (id_no ~ '^[0-9]{17}[0-9X]$'),
    gender text CHECK (gender IN ('0', '1', '2', '9')),
    birth_date date CHECK (birth_date BETWEEN '1000-01-01' AND '9999-12-31'),
    birth_year integer GENERATED ALWAYS AS (extract(year FROM birth_date)::integer) STORED,
    photo text CHECK (length(photo) <= 500),
    enterprise_uscc text CHECK (length(enterprise_uscc) = 18 AND NOT zlaq.is_citizen_no(enterprise_uscc)),
    enterprise_name text CHECK (length(enterprise_name) <= 200),
    appointment text CHECK (appointment IN ('01', '02', '03', '04', '05', '06', '07', '08', '99')),
    technical_title text CHECK (technical_title IN ('1', '2', '3', '4', '5', '9')),
    education_degree text CHECK (education_degree IN ('10', '20', '30', '40', '60', '70', '80', '90')),
    first_issued_on date CHECK (first_issued_on BETWEEN '1000-01-01' AND '9999-12-31'),
    issued_on date CHECK (issued_on BETWEEN '1000-01-01' AND '9999-12-31'),
    valid_from date CHECK (valid_from BETWEEN '1000-01-01' AND '9999-12-31'),
    valid_to date NOT NULL CHECK (valid_to BETWEEN '1000-01-01' AND '9999-12-31'),
    state text NOT NULL CHECK (state IN ('01', '02', '03', '04', '05', '06', '07', '99')),
    operate_type text CHECK (operate_type IN ('01', '02', '03', '04', '05', '06', '07', '08', '09', '10')),
    transfer_from_cert_no text CHECK (length(transfer_from_cert_no) IN (17, 18)),
    check_result text CHECK (check_result IN ('0', '1', '2')),
    holder_uscc text NOT NULL GENERATED ALWAYS AS (coalesce(enterprise_uscc, '-')) STORED,
    LIKE zlaq.governed INCLUDING ALL,
    LIKE zlaq.stamped INCLUDING ALL
);

CREATE TABLE zlaq.safety_inspection (
    inspection_no text NOT NULL PRIMARY KEY CHECK (length(inspection_no) = 23),
    safety_reg_no text CHECK (length(safety_reg_no) <= 500),
    project_no text NOT NULL CHECK (project_no ~ '^[0-9]{16,18}$'),
    inspected_on date NOT NULL CHECK (inspected_on BETWEEN '1000-01-01' AND '9999-12-31'),
    kind text CHECK (kind IN ('1', '2', '3', '4', '5')),
    agency_uscc text CHECK (length(agency_uscc) = 18 AND NOT zlaq.is_citizen_no(agency_uscc)),
    inspectors jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(inspectors) = 'array'),
    progress text CHECK (length(progress) <= 200),
    finding_count integer CHECK (finding_count >= 0),
    major_hazard_count integer CHECK (major_hazard_count >= 0),
    disposal text CHECK (disposal IN ('0', '1', '2', '3', '4', '5')),
    notice_no text CHECK (length(notice_no) <= 500),
    deadline date CHECK (deadline BETWEEN '1000-01-01' AND '9999-12-31'),
    rectified_on date CHECK (rectified_on BETWEEN '1000-01-01' AND '9999-12-31'),
    review_result text CHECK (review_result IN ('1', '2', '3')),
    photos text[] NOT NULL DEFAULT '{}' CHECK (array_position(photos, NULL) IS NULL),
    holder_uscc text NOT NULL CHECK (holder_uscc = '-' OR length(holder_uscc) = 18),
    LIKE zlaq.governed INCLUDING ALL,
    LIKE zlaq.located INCLUDING ALL,
    LIKE zlaq.stamped INCLUDING ALL
);

CREATE TABLE zlaq.finding (
    finding_no text NOT NULL PRIMARY KEY CHECK (length(finding_no) = 26),
    parent_type text NOT NULL CHECK (parent_type IN ('SAFETY', 'DESIGN', 'QUALITY', 'RAIL', 'ENFORCEMENT')),
    parent_no text NOT NULL CHECK (length(parent_no) = 23),
    item_code text CHECK (length(item_code) <= 50),
    description text CHECK (length(description) <= 4000),
    standard_article text CHECK (length(standard_article) <= 500),
    is_mandatory boolean,
    hazard_level text CHECK (hazard_level IN ('1', '2')),
    responsible_uscc text CHECK (length(responsible_uscc) = 18 AND NOT zlaq.is_citizen_no(responsible_uscc)),
    photos text[] NOT NULL DEFAULT '{}' CHECK (array_position(photos, NULL) IS NULL),
    deadline date CHECK (deadline BETWEEN '1000-01-01' AND '9999-12-31'),
    rectification text CHECK (length(rectification) <= 4000),
    rectified_on date CHECK (rectified_on BETWEEN '1000-01-01' AND '9999-12-31'),
    reviewed_by text CHECK (length(reviewed_by) <= 500),
    closed boolean,
    holder_uscc text NOT NULL CHECK (holder_uscc = '-' OR length(holder_uscc) = 18),
    LIKE zlaq.governed INCLUDING ALL,
    LIKE zlaq.located INCLUDING ALL,
    LIKE zlaq.stamped INCLUDING ALL
);

DROP TABLE zlaq.governed, zlaq.located, zlaq.stamped;

ALTER TABLE zlaq.person ADD COLUMN id_hash text UNIQUE CHECK (id_hash ~ '^[0-9a-f]{64}$');
COMMENT ON COLUMN zlaq.person.id_hash IS
    'internal: keyed hash of the citizen number, to find a person again; whoever can compute it can enumerate everyone';

CREATE TABLE zlaq.unmapped_code (
    entity text NOT NULL,
    key text NOT NULL,
    attribute text NOT NULL,
    raw text NOT NULL CHECK (length(raw) <= 500),
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, key, attribute)
);
COMMENT ON TABLE zlaq.unmapped_code IS 'A code from outside that no list knows: its column is NULL, the code is here';

CREATE TABLE zlaq.region_alias (
    code text NOT NULL,
    supervision_code text NOT NULL CHECK (supervision_code ~ '^[0-9]{6}$'),
    valid_from date,
    valid_to date,
    kind text NOT NULL,
    note text NOT NULL DEFAULT '',
    UNIQUE NULLS NOT DISTINCT (code, supervision_code, valid_from, valid_to)
);

CREATE TABLE zlaq.open_case (
    case_no text PRIMARY KEY CHECK (length(case_no) BETWEEN 2 AND 64),
    region text NOT NULL CHECK (region ~ '^[0-9]{6}$'),
    kind text NOT NULL,
    open boolean NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    CHECK (open = (closed_at IS NULL)),
    CHECK (closed_at >= opened_at)
);

CREATE FUNCTION zlaq.count_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE TRIGGER count_version BEFORE UPDATE ON zlaq.region FOR EACH ROW EXECUTE FUNCTION zlaq.count_version();
CREATE TRIGGER count_version BEFORE UPDATE ON zlaq.department FOR EACH ROW EXECUTE FUNCTION zlaq.count_version();
CREATE TRIGGER count_version BEFORE UPDATE ON zlaq.enterprise FOR EACH ROW EXECUTE FUNCTION zlaq.count_version();
CREATE TRIGGER count_version BEFORE UPDATE ON zlaq.person FOR EACH ROW EXECUTE FUNCTION zlaq.count_version();
CREATE TRIGGER count_version BEFORE UPDATE ON zlaq.project FOR EACH ROW EXECUTE FUNCTION zlaq.count_version();
CREATE TRIGGER count_version BEFORE UPDATE ON zlaq.safety_inspection FOR EACH ROW EXECUTE FUNCTION zlaq.count_version();
CREATE TRIGGER count_version BEFORE UPDATE ON zlaq.finding FOR EACH ROW EXECUTE FUNCTION zlaq.count_version();
CREATE TRIGGER count_version BEFORE UPDATE ON zlaq.safety_manager_certificate
FOR EACH ROW EXECUTE FUNCTION zlaq.count_version();

-- Inheritance: project to inspection to finding. A child asks its parent whenever any inherited column is written, so
-- whatever a writer says about them is overruled. FOR SHARE makes it wait for a restamping of the parent that has not
-- committed yet. An unknown parent's sensitivity is unknown too: the child keeps the one it has.

CREATE FUNCTION zlaq.inherit_from_project() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kept integer := NEW.sens;
BEGIN
    SELECT manage, site, sens, holder_uscc, case_no
    INTO NEW.manage, NEW.site, NEW.sens, NEW.holder_uscc, NEW.case_no
    FROM zlaq.project WHERE project_no = NEW.project_no FOR SHARE;
    IF NOT FOUND THEN
        SELECT '999999', '999999', kept, '-', '-'
        INTO NEW.manage, NEW.site, NEW.sens, NEW.holder_uscc, NEW.case_no;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER inherit BEFORE INSERT OR UPDATE OF project_no, manage, site, sens, holder_uscc, case_no
ON zlaq.safety_inspection FOR EACH ROW EXECUTE FUNCTION zlaq.inherit_from_project();

-- Only safety inspections are kept here: a finding of another kind of inspection has no parent in this database.
CREATE FUNCTION zlaq.inherit_from_inspection() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kept record := NEW;
BEGIN
    SELECT manage, site, sens, owner_dept, holder_uscc, case_no
    INTO NEW.manage, NEW.site, NEW.sens, NEW.owner_dept, NEW.holder_uscc, NEW.case_no
    FROM zlaq.safety_inspection WHERE inspection_no = NEW.parent_no AND NEW.parent_type = 'SAFETY' FOR SHARE;
    IF NOT FOUND THEN
        SELECT '999999', '999999', kept.sens, kept.owner_dept, '-', '-'
        INTO NEW.manage, NEW.site, NEW.sens, NEW.owner_dept, NEW.holder_uscc, NEW.case_no;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER inherit BEFORE INSERT
OR UPDATE OF parent_type, parent_no, manage, site, sens, owner_dept, holder_uscc, case_no
ON zlaq.finding FOR EACH ROW EXECUTE FUNCTION zlaq.inherit_from_inspection();

-- A parent that comes, changes, is renumbered or goes makes its children ask again, by writing their link anew.
CREATE FUNCTION zlaq.restamp_inspections() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND OLD.project_no <> NEW.project_no THEN
        UPDATE zlaq.safety_inspection SET project_no = project_no WHERE project_no = OLD.project_no;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE zlaq.safety_inspection SET project_no = project_no
        WHERE project_no = NEW.project_no AND (manage, site, sens, holder_uscc, case_no)
            IS DISTINCT FROM (NEW.manage, NEW.site, NEW.sens, NEW.holder_uscc, NEW.case_no);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER restamp AFTER INSERT OR DELETE OR UPDATE OF project_no, manage, site, sens, contractor_uscc, case_no
ON zlaq.project FOR EACH ROW EXECUTE FUNCTION zlaq.restamp_inspections();

CREATE FUNCTION zlaq.restamp_findings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND OLD.inspection_no <> NEW.inspection_no THEN
        UPDATE zlaq.finding SET parent_no = parent_no WHERE parent_no = OLD.inspection_no;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE zlaq.finding SET parent_no = parent_no
        WHERE parent_no = NEW.inspection_no AND parent_type = 'SAFETY'
            AND (manage, site, sens, owner_dept, holder_uscc, case_no)
            IS DISTINCT FROM (NEW.manage, NEW.site, NEW.sens, NEW.owner_dept, NEW.holder_uscc, NEW.case_no);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER restamp AFTER INSERT OR DELETE
OR UPDATE OF inspection_no, project_no, manage, site, sens, owner_dept, holder_uscc, case_no
ON zlaq.safety_inspection FOR EACH ROW EXECUTE FUNCTION zlaq.restamp_findings();

-- A parent and a child written at the same moment do not see each other, and the child stays with 999999: shown to too
-- few, never to too many. Ingestion calls this at the end of a batch.
CREATE FUNCTION zlaq.adopt_orphans() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    inspections bigint;
    findings bigint;
BEGIN
    UPDATE zlaq.safety_inspection i SET project_no = i.project_no FROM zlaq.project p
    WHERE i.manage = '999999' AND p.project_no = i.project_no AND p.manage <> '999999';
    GET DIAGNOSTICS inspections = ROW_COUNT;
    UPDATE zlaq.finding f SET parent_no = f.parent_no FROM zlaq.safety_inspection i
    WHERE f.manage = '999999' AND i.inspection_no = f.parent_no AND f.parent_type = 'SAFETY' AND i.manage <> '999999';
    GET DIAGNOSTICS findings = ROW_COUNT;
    RETURN inspections + findings;
END
$$;
