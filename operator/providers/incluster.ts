export { isRolledOut } from "../incluster/rollout.ts";
