"""One GraphQL operation into source work and back: parse, select, plan, execute, assemble. Decides no right."""
