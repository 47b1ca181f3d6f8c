/** The compiler as a user runs it: strict, and checking all declarations of the package. */

import { join } from 'node:path';
import ts from 'typescript';

const OTHERS = /\/node_modules\/(@types|undici-types)\//;

/** Return the compiler's messages on these files of a project, as `name:line: text`, sorted. */
export function compile(
  files: Record<string, string>,
  project: string,
  options: ts.CompilerOptions,
): string[] {
  const settings: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    types: [],
    ...options,
  };
  const host = ts.createCompilerHost(settings);
  const { getSourceFile, fileExists, readFile } = host;
  const sources = new Map(Object.entries(files).map(([name, text]) => [join(project, name), text]));
  host.getSourceFile = (name, language) => {
    const text = sources.get(name);
    return text === undefined ? getSourceFile(name, language) : ts.createSourceFile(name, text, language);
  };
  host.fileExists = (name) => sources.has(name) || fileExists(name);
  host.readFile = (name) => sources.get(name) ?? readFile(name);
  host.getCurrentDirectory = () => project;
  const program = ts.createProgram([...sources.keys()], settings, host);
  // Files of the project and of the package; the declarations of TypeScript and of Node are not checked.
  const own = program
    .getSourceFiles()
    .filter((file) => !program.isSourceFileDefaultLibrary(file) && !OTHERS.test(file.fileName));
  const all = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...own.flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]),
  ];
  const found = all.map(({ file, start, messageText }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    const name = file?.fileName.slice(project.length + 1) ?? '';
    return `${name}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
  return found.sort();
}
