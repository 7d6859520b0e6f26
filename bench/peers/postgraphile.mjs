// PostGraphile 5 over schema zlaq, as its best users would set it up: Amber preset, simplified names, filters, relations
// told by smart tags (the tables have no foreign keys), lists instead of connections below a page, production mode, no
// watching, no GraphiQL, no explaining, the bare Node adaptor. Mutations and subscriptions are off.
// It does no authentication, policy, masks, audit or limits, and it leaves codes as they are stored.
// PEER_DSN, PEER_PORT, PEER_PROCESSES and PEER_SETTINGS (1: a transaction with a role and two settings for each request,
// which is what row-level security needs) come from the environment.
import { createServer } from "node:http";
import { PgSimplifyInflectionPreset } from "@graphile/simplify-inflection";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { pgSmartTags } from "postgraphile/utils";
import { PostGraphileConnectionFilterPreset } from "postgraphile-plugin-connection-filter";
import { CONNECTIONS, OPTIONS, serve } from "./serve.mjs";

const MEASURED = ["project", "enterprise", "safety_manager_certificate", "person", "safety_inspection"];
const RELATIONS = {
  project: ["(contractor_uscc) references zlaq.enterprise (uscc)|@fieldName contractor|@foreignSimpleFieldName projects"],
  safety_manager_certificate: [
    "(enterprise_uscc) references zlaq.enterprise (uscc)|@fieldName enterprise|@foreignSimpleFieldName safetyManagers",
    "(person_no) references zlaq.person (person_no)|@fieldName person|@foreignSimpleFieldName certificates",
  ],
  safety_inspection: [
    "(project_no) references zlaq.project (project_no)|@fieldName project|@foreignSimpleFieldName inspections",
  ],
};

const relations = pgSmartTags(
  Object.entries(RELATIONS).map(([table, foreignKey]) => ({
    kind: "class",
    match: `zlaq.${table}`,
    tags: { foreignKey },
  })),
);
const others = pgSmartTags({
  kind: "class",
  match: (table) => table.getNamespace()?.nspname === "zlaq" && !MEASURED.includes(table.relname),
  tags: { behavior: "-*" },
});

const preset = {
  extends: [PostGraphileAmberPreset, PgSimplifyInflectionPreset, PostGraphileConnectionFilterPreset],
  plugins: [relations, others],
  pgServices: [
    makePgService({
      connectionString: process.env.PEER_DSN,
      schemas: ["zlaq"],
      pubsub: false,
      poolConfig: { max: CONNECTIONS, min: CONNECTIONS, idleTimeoutMillis: 0, options: OPTIONS },
    }),
  ],
  schema: {
    defaultBehavior: "-insert -update -delete -node +manyRelation:resource:list -manyRelation:resource:connection",
  },
  grafast: {
    explain: false,
    context:
      process.env.PEER_SETTINGS === "1"
        ? () => ({ pgSettings: { role: "zlaq_read", "zlaq.level": "MINISTRY", "zlaq.region": "000000" } })
        : undefined,
  },
  grafserv: { watch: false, graphiql: false, graphiqlOnGraphQLGET: false, websockets: false, outputDataAsString: true },
};

await serve(async (port) => {
  const server = createServer();
  await postgraphile(preset).createServ(grafserv).addTo(server);
  server.listen(port, "127.0.0.1");
});
