import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
var r="app.kubernetes.io/managed-by",n="mesh-canary",l={[r]:n};function s(e,t={}){return Object.entries(e).every(([a,o])=>t[a]===o)}function c({spec:e},t){return s({...e.template.metadata?.labels,...e.selector.matchLabels},t.metadata.labels)}export{r as a,n as b,l as c,s as d,c as e};
