"use strict";

(function () {
  const WELCOME = "# 在此编写查询；左侧“文档”图标列出全部字段。\n{ __typename }\n";
  let token = "";
  let root = null;

  async function ask(params) {
    const headers = { "Content-Type": "application/json", Accept: "application/graphql-response+json" };
    if (token) headers.Authorization = "Bearer " + token;
    const answer = await fetch("graphql", { method: "POST", headers, body: JSON.stringify(params) });
    return answer.json();
  }

  function render(query) {
    root ??= ReactDOM.createRoot(document.getElementById("graphiql"));
    // A new function makes GraphiQL read the schema again, as the new caller.
    const fetcher = ({ query, variables, operationName }) => ask({ query, variables, operationName });
    root.render(React.createElement(GraphiQL, {
      fetcher,
      defaultQuery: query,
      shouldPersistHeaders: false,
      isHeadersEditorEnabled: false,
    }));
  }

  function runAgain() {
    const button = document.querySelector(".graphiql-execute-button");
    if (button) button.click();
  }

  function offerRoles({ callers, query }) {
    const select = document.getElementById("role");
    const who = document.getElementById("who");
    for (const caller of callers) {
      const option = document.createElement("option");
      option.value = caller.role;
      option.textContent = caller.title;
      select.append(option);
    }
    function choose() {
      const caller = callers.find((one) => one.role === select.value);
      token = caller.token || "";
      who.textContent = token ? "请求携带该身份的令牌" : "请求不携带令牌";
      render(query || WELCOME);
    }
    select.addEventListener("change", () => { choose(); setTimeout(runAgain, 0); });
    document.getElementById("caller").hidden = false;
    choose();
  }

  function offerToken() {
    const input = document.getElementById("token");
    input.addEventListener("change", () => { token = input.value.trim(); render(WELCOME); });
    for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
    document.getElementById("bearer").hidden = false;
    render(WELCOME);
  }

  fetch("demo/tokens")
    .then((answer) => (answer.ok ? answer.json().then(offerRoles) : offerToken()))
    .catch(offerToken);
})();
