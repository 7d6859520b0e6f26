// What the Node peers have in common: how many processes they are, and how they reach PostgreSQL.
import cluster from "node:cluster";

// As many as `pg` opens by default: with settings, a request holds one for four round trips.
export const CONNECTIONS = 10;
// The settings the product gives its own connections.
export const OPTIONS = Object.entries({
  search_path: "zlaq",
  jit: "off",
  plan_cache_mode: "force_generic_plan",
  random_page_cost: "1.1",
  max_parallel_workers_per_gather: "0",
}).map(([name, value]) => `-c ${name}=${value}`).join(" ");

// Runs `listen(port)` in this process, or in as many children as PEER_PROCESSES says. They end with it.
export async function serve(listen) {
  const processes = Number(process.env.PEER_PROCESSES);
  if (processes === 1 || cluster.isWorker) {
    await listen(Number(process.env.PEER_PORT));
    return;
  }
  for (let i = 0; i < processes; i++) cluster.fork();
  cluster.on("exit", () => process.exit(1));
}
