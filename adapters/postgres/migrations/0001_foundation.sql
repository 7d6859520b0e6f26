-- Schemas, group roles, the audit trail and the policy revisions. Everything that later migrations rely on.
--
-- Roles are shared by all databases of a server, so they are created only where they are missing. They cannot log in:
-- an operator's logins are members of one of them, and a connection sets the role it works as.

CREATE SCHEMA zlaq;
CREATE SCHEMA audit;
CREATE SCHEMA policy;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['zlaq_read', 'zlaq_seal', 'zlaq_write'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            END IF;
        EXCEPTION
            -- Two databases of one server may be migrated at once.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
END
$$;

-- The decision and the slot table of a plan, by the digest of its text, so that a text can neither be replaced nor
-- stored first under another's digest.
CREATE TABLE audit.decision (
    hash text NOT NULL PRIMARY KEY CHECK (hash = encode(sha256(convert_to(body, 'UTF8')), 'hex')),
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One row per root field answered. No primary key: nothing but the sealer's index is paid for in every request.
-- Partitioned, so that an operator can detach what has been exported; until one makes partitions, all rows lie in the
-- default one (2 us a request dearer than a plain table).
CREATE TABLE audit.record (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id text NOT NULL,
    root text NOT NULL,
    subject text NOT NULL,
    document text NOT NULL,
    revision text NOT NULL,
    decision text NOT NULL,
    -- Uncompressed: compressing a page of 1,000 rows takes 0.3 ms, storing it 0.03 ms.
    rows text NOT NULL,
    sources text NOT NULL DEFAULT ''
) PARTITION BY RANGE (at);
-- In the column's definition PostgreSQL 15 cannot read this. Partitions inherit it.
ALTER TABLE audit.record ALTER rows SET STORAGE EXTERNAL;
CREATE TABLE audit.record_rest PARTITION OF audit.record DEFAULT;
CREATE INDEX record_chain ON audit.record (xid, seq);

-- A seal covers the records after (last_xid, last_seq) of the one before it, up to its own. `marks` are the first
-- eight bytes of each record's digest: they tell which record changed, and nothing rests on them.
CREATE TABLE audit.seal (
    no bigint NOT NULL PRIMARY KEY CHECK (no > 0),
    previous text NOT NULL,
    hash text NOT NULL,
    first_xid xid8 NOT NULL,
    first_seq bigint NOT NULL,
    last_xid xid8 NOT NULL,
    last_seq bigint NOT NULL,
    records integer NOT NULL CHECK (records > 0),
    total bigint NOT NULL,
    marks bytea NOT NULL CHECK (octet_length(marks) = 8 * records),
    sealed_at timestamptz NOT NULL
);

-- A revision as it was published; publishing an earlier one again is a new row, so that a mistake can be taken back.
-- The newest sequence is in force.
CREATE TABLE policy.revision (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL,
    rules text NOT NULL,
    classes text NOT NULL,
    kinds text NOT NULL,
    published_by text NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX revision_id ON policy.revision (id);

CREATE FUNCTION policy.announce() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_notify('zlaq_policy', new.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER announce AFTER INSERT ON policy.revision FOR EACH ROW EXECUTE FUNCTION policy.announce();

-- Rights are granted by column where a column's default is evidence: nobody chooses a record's transaction, time or
-- number, or a revision's. Nobody but the owner changes or removes anything here.
REVOKE ALL ON SCHEMA zlaq, audit, policy FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA audit, policy FROM PUBLIC;
REVOKE ALL ON FUNCTION policy.announce() FROM PUBLIC;

GRANT USAGE ON SCHEMA zlaq, audit, policy TO zlaq_read, zlaq_write;
GRANT USAGE ON SCHEMA audit TO zlaq_seal;

GRANT INSERT (request_id, root, subject, document, revision, decision, rows, sources) ON audit.record
    TO zlaq_read, zlaq_write;
GRANT INSERT (hash, body) ON audit.decision TO zlaq_read, zlaq_write;
GRANT SELECT ON audit.record, audit.decision, audit.seal TO zlaq_seal;
GRANT INSERT ON audit.seal TO zlaq_seal;

GRANT SELECT ON policy.revision TO zlaq_read, zlaq_write;
GRANT INSERT (id, rules, classes, kinds, published_by) ON policy.revision TO zlaq_write;

-- No default privileges on zlaq: `migrate` grants zlaq_read the columns that are not internal, one by one, and a right
-- to the whole table would undo that.
