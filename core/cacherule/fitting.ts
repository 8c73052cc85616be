import type { CacheRuleSpec, Provider } from "../../crds/index.ts";

/** The products whose rules have names of their own. Of all others a rule's name is its target. */
const NAMED: readonly Provider[] = ["azure"];

/** What a rule says that its registry's product has no place for, with what to do; undefined when everything fits. */
export function misfit({ options = {}, remoteName }: CacheRuleSpec, provider: Provider): string | undefined {
  const foreign = Object.keys(options).find((block) => block !== provider);
  if (foreign !== undefined)
    return `options.${foreign} is for another product: the registry's provider is ${provider}; remove it`;
  if (remoteName !== undefined && !NAMED.includes(provider))
    return `remoteName has no meaning for provider ${provider}, where the target names the rule: create the rule without it`;
  return undefined;
}
