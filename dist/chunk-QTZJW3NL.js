import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
var e=class extends Error{name="ConfigError"};export{e as a};
