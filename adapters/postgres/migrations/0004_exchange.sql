-- Rows pulled from front-end databases (前置库), kept as they were mapped until the ministry's own tables take them.
-- Bodies may be personal: zlaq_read is granted nothing here, not even the schema.

CREATE SCHEMA exchange;

-- One row for each serial number of the provider's table. Of one local key at most one row is in force: a later serial
-- replaces an earlier one, and an invalid row (有效标识 0) withdraws what came before it and has no body itself.
CREATE TABLE exchange.landing (
    source text NOT NULL CHECK (length(source) BETWEEN 1 AND 100),
    service text NOT NULL CHECK (length(service) BETWEEN 1 AND 200),
    local_key text NOT NULL CHECK (length(local_key) BETWEEN 1 AND 200),
    serial bigint NOT NULL,
    region text CHECK (region ~ '^[0-9]{6}$'),
    as_of timestamptz,
    body jsonb,
    unmapped text[] NOT NULL DEFAULT '{}',
    received_at timestamptz NOT NULL DEFAULT now(),
    withdrawn_at timestamptz,
    PRIMARY KEY (source, service, local_key, serial),
    CONSTRAINT in_force_has_body CHECK (body IS NOT NULL OR withdrawn_at IS NOT NULL)
);
CREATE UNIQUE INDEX landing_in_force ON exchange.landing (source, service, local_key) WHERE withdrawn_at IS NULL;

-- How far each table has been pulled, and how many receipts were written since the beginning.
CREATE TABLE exchange.window (
    source text NOT NULL,
    service text NOT NULL,
    last_serial bigint NOT NULL,
    pulled_at timestamptz NOT NULL DEFAULT now(),
    accepted bigint NOT NULL CHECK (accepted >= 0),
    refused bigint NOT NULL CHECK (refused >= 0),
    PRIMARY KEY (source, service)
);

REVOKE ALL ON SCHEMA exchange FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA exchange FROM PUBLIC;

GRANT USAGE ON SCHEMA exchange TO zlaq_write;
GRANT SELECT, INSERT, UPDATE ON exchange.landing, exchange.window TO zlaq_write;
