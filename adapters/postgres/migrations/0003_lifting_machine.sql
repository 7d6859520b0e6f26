CREATE TABLE zlaq.lifting_machine (
    record_no text NOT NULL PRIMARY KEY CHECK (length(record_no) BETWEEN 1 AND 50),
    kind text NOT NULL CHECK (kind IN ('T', 'S', 'W', 'M', 'D', 'L', 'J', 'O')),
    name text CHECK (length(name) <= 200),
    model text CHECK (length(model) <= 200),
    manufacturer text CHECK (length(manufacturer) <= 200),
    manufacture_licence_no text CHECK (length(manufacture_licence_no) <= 100),
    factory_no text CHECK (length(factory_no) <= 100),
    manufactured_on date CHECK (manufactured_on BETWEEN '1000-01-01' AND '9999-12-31'),
    rated_moment numeric CHECK (abs(rated_moment) < 1e31 AND scale(rated_moment) <= 12),
    max_height numeric CHECK (abs(max_height) < 1e31 AND scale(max_height) <= 12),
    owner_uscc text CHECK (length(owner_uscc) = 18 AND NOT zlaq.is_citizen_no(owner_uscc)),
    owner_name text CHECK (length(owner_name) <= 200),
    owner_phone text CHECK (length(owner_phone) <= 50),
    recorded_on date CHECK (recorded_on BETWEEN '1000-01-01' AND '9999-12-31'),
    record_authority text CHECK (length(record_authority) <= 200),
    design_life_end date CHECK (design_life_end BETWEEN '1000-01-01' AND '9999-12-31'),
    state text NOT NULL CHECK (state IN ('1', '2', '3', '4', '5', '6', '7')),
    cancel_reason text CHECK (length(cancel_reason) <= 500),
    project_no text CHECK (project_no ~ '^[0-9]{16,18}$'),
    holder_uscc text NOT NULL GENERATED ALWAYS AS (coalesce(owner_uscc, '-')) STORED,
    manage text NOT NULL CONSTRAINT manage_check CHECK (manage ~ '^[0-9]{6}$'),
    manage_p2 text NOT NULL GENERATED ALWAYS AS (left(manage, 2)) STORED,
    manage_p4 text NOT NULL GENERATED ALWAYS AS (left(manage, 4)) STORED,
    owner_dept text NOT NULL DEFAULT '-' CONSTRAINT owner_dept_check
        CHECK (owner_dept = '-' OR owner_dept ~ '^[A-Z]{2}[0-9]{6}-[1-9][0-9]{0,3}$'),
    case_no text NOT NULL DEFAULT '-' CONSTRAINT case_no_check CHECK (length(case_no) BETWEEN 1 AND 64),
    version integer NOT NULL DEFAULT 1 CONSTRAINT version_check CHECK (version > 0),
    updated_at timestamptz NOT NULL DEFAULT now() CONSTRAINT updated_at_check
        CHECK (updated_at BETWEEN '1000-01-01Z' AND '9999-12-31Z'),
    source_id text CONSTRAINT source_id_check CHECK (length(source_id) <= 100),
    data_as_of timestamptz CONSTRAINT data_as_of_check CHECK (data_as_of BETWEEN '1000-01-01Z' AND '9999-12-31Z')
);

CREATE TRIGGER count_version BEFORE UPDATE ON zlaq.lifting_machine
FOR EACH ROW EXECUTE FUNCTION zlaq.count_version();
