import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import*as o from"child_process";import*as s from"util";var c=s.promisify(o.exec);export{c as a};
