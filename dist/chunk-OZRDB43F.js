import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
var u=String.raw`\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069`;export{u as a};
