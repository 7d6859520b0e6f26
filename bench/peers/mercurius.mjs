// Fastify and mercurius with compiled queries (jit) and loaders, over `pg`: answers the product's documents unchanged.
// Written as its best users would: one statement a loader's batch, whose nested lists PostgreSQL cuts off, prepared by
// name, only the columns that are measured, dates and decimals left as PostgreSQL's text, codes translated when an enum
// is written.
// It does no authentication, policy, masks, audit, limits or counts; it knows only the measured fields, and its pages go
// forward only, after the cursor of an edge (`k` and the key in base64).
// PEER_DSN, PEER_PORT and PEER_PROCESSES come from the environment.
import { readFileSync } from "node:fs";
import Fastify from "fastify";
import mercurius from "mercurius";
import pg from "pg";
import { CONNECTIONS, OPTIONS, serve } from "./serve.mjs";

const text = (value) => value;
const TEXT = { getTypeParser: (oid, format) => (oid === 1082 ? text : pg.types.getTypeParser(oid, format)) };
const pool = new pg.Pool({
  connectionString: process.env.PEER_DSN,
  options: OPTIONS,
  types: TEXT,
  max: CONNECTIONS,
  min: CONNECTIONS,
  idleTimeoutMillis: 0,
});
const rows = async (name, sql, values) => (await pool.query({ name, text: sql, values })).rows;

// A loader tells its queries apart by their parents written as JSON, so parents write their keys alone: 15 % of Q3.
class Parent {
  toJSON() {
    return this.projectNo ?? this.uscc ?? this.certNo;
  }
}
const parents = async (name, sql, values) => {
  const found = await rows(name, sql, values);
  for (const row of found) Object.setPrototypeOf(row, Parent.prototype);
  return found;
};

// The product's code lists: a line `@name, title, source` opens one, `code, name, term` are its entries.
const CODES = Object.fromEntries(
  readFileSync(new URL("../../schema/codes.tsv", import.meta.url), "utf8").slice(1).split("\n@").map((block) => {
    const [head, ...entries] = block.trim().split("\n");
    return [head.split("\t")[0], Object.fromEntries(entries.map((entry) => entry.split("\t").slice(0, 2)))];
  }),
);
const ENUMS = ["ProjectType", "ProjectState", "SafetyPost", "SafetyMgrState", "InspectionKind", "Disposal"];

const SCHEMA = `
  scalar ProjectNo
  ${ENUMS.map((name) => `enum ${name} { ${Object.values(CODES[name]).join(" ")} }`).join("\n")}
  type Query {
    project(projectNo: ProjectNo!): Project
    projects(first: Int!, after: String!): ProjectConnection
  }
  type ProjectConnection { nodes: [Project!]! }
  type Project {
    projectNo: ProjectNo! name: String projectType: ProjectType status: ProjectState totalArea: String
    plannedStart: String plannedEnd: String developerName: String countyCode: String contractorUscc: String
    contractor: Enterprise
    inspections(first: Int! = 20): [SafetyInspection!]!
  }
  type Enterprise {
    uscc: String! name: String registeredAddress: String
    safetyManagers(first: Int! = 20): [SafetyManagerCertificate!]!
  }
  type SafetyManagerCertificate {
    certNo: String! categoryCode: SafetyPost! state: SafetyMgrState! validTo: String! name: String idNo: String
    person: Person
  }
  type Person { personNo: String! name: String mobile: String birthYear: Int }
  type SafetyInspection {
    inspectionNo: String! inspectedOn: String! kind: InspectionKind findingCount: Int majorHazardCount: Int
    disposal: Disposal
  }
`;

const PROJECT = `select project_no as "projectNo", name, project_type as "projectType", status,
  total_area as "totalArea", planned_start as "plannedStart", planned_end as "plannedEnd",
  developer_name as "developerName", county_code as "countyCode", contractor_uscc as "contractorUscc" from project`;
const ENTERPRISES = `select uscc, name, registered_address as "registeredAddress" from enterprise
  where uscc = any($1::text[])`;
const PERSONS = `select person_no as "personNo", name, mobile, birth_year as "birthYear" from person
  where person_no = any($1::text[])`;
const safetyManagers = (first) => `select k.uscc as "parent", c.* from unnest($1::text[]) k(uscc)
  cross join lateral (select cert_no as "certNo", category_code as "categoryCode", state, valid_to as "validTo", name,
    id_no as "idNo", person_no as "personNo" from safety_manager_certificate where enterprise_uscc = k.uscc
    order by cert_no limit ${first}) c`;
const inspections = (first) => `select k.project_no as "parent", i.* from unnest($1::text[]) k(project_no)
  cross join lateral (select inspection_no as "inspectionNo", inspected_on as "inspectedOn", kind,
    finding_count as "findingCount", major_hazard_count as "majorHazardCount", disposal from safety_inspection
    where project_no = k.project_no order by inspected_on desc, inspection_no desc limit ${first}) i`;

const resolvers = {
  ...Object.fromEntries(ENUMS.map((name) => [name, { serialize: (code) => CODES[name][code] }])),
  Query: {
    project: async (_, { projectNo }) => (await parents("project", `${PROJECT} where project_no = $1`, [projectNo]))[0],
    projects: async (_, { first, after }) => ({
      nodes: await parents(
        `projects ${first}`,
        `${PROJECT} where project_no > $1 order by project_no limit ${first}`,
        [Buffer.from(after.slice(1), "base64").toString()],
      ),
    }),
  },
};

// One row a query, by key.
const one = (name, sql, own, key, read) => async (queries) => {
  const keys = new Set();
  for (const { obj } of queries) if (obj[own] !== null) keys.add(obj[own]);
  const found = new Map();
  for (const row of await read(name, sql, [[...keys]])) found.set(row[key], row);
  return queries.map(({ obj }) => found.get(obj[own]));
};
// A list a query; all queries of a batch come from one field of a document, but aliases may ask for several sizes.
const many = (name, sql, key, read) => async (queries) => {
  const sizes = new Map();
  for (const { obj, params } of queries) {
    if (!sizes.has(params.first)) sizes.set(params.first, new Map());
    sizes.get(params.first).set(obj[key], []);
  }
  await Promise.all(
    Array.from(sizes, async ([first, lists]) => {
      for (const row of await read(`${name} ${first}`, sql(first), [[...lists.keys()]])) lists.get(row.parent).push(row);
    }),
  );
  return queries.map(({ obj, params }) => sizes.get(params.first).get(obj[key]));
};
const loaders = {
  Project: {
    contractor: one("enterprises", ENTERPRISES, "contractorUscc", "uscc", parents),
    inspections: many("inspections", inspections, "projectNo", rows),
  },
  Enterprise: { safetyManagers: many("safety managers", safetyManagers, "uscc", parents) },
  SafetyManagerCertificate: { person: one("persons", PERSONS, "personNo", "personNo", rows) },
};

await serve(async (port) => {
  const app = Fastify({ logger: false });
  // A string would be encoded inside the write, which is slower: 5 to 10 % of Q4.
  app.addHook("onSend", (request, reply, payload, done) => done(null, Buffer.from(payload)));
  app.register(mercurius, { schema: SCHEMA, resolvers, loaders, jit: 1, graphiql: false });
  await app.listen({ port, host: "127.0.0.1" });
});
