// What Node has of the WebAssembly JavaScript interface and this folder uses: neither @types/node nor TypeScript's libraries without a DOM declare it.
declare namespace WebAssembly {
  /** A compiled module; threads share it. */
  class Module {
    private constructor();
    static imports(module: Module): { readonly module: string; readonly name: string; readonly kind: string }[];
  }
  class Instance {
    constructor(module: Module, imports: Imports);
    readonly exports: Readonly<Record<string, unknown>>;
  }
  interface Memory {
    /** Another one after each growth. */
    readonly buffer: ArrayBuffer;
  }
  type ModuleImports = Record<string, (...args: never[]) => number>;
  type Imports = Record<string, ModuleImports>;
  function compile(bytes: Uint8Array): Promise<Module>;
}
