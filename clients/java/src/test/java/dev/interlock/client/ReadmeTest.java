package dev.interlock.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every snippet of the README compiles, given a client and what it talks about. */
class ReadmeTest {
  @TempDir private Path room;

  private static final Pattern SNIPPET = Pattern.compile("(?s)```java\n(.*?)```");
  private static final String AROUND =
      """
      import com.fasterxml.jackson.databind.JsonNode;
      import dev.interlock.client.*;
      import dev.interlock.v1.RequirementFilter;
      import dev.interlock.v1.RequirementKind;
      import java.math.BigInteger;
      import java.nio.file.Path;
      import java.time.Duration;
      import java.util.Map;
      %s
      class Snippet {
        interface Ledger { Object query(String sql); }
        Ledger ledger;
        %s
        void snippet() throws Exception {
      %s
        }
      }
      """;

  @Test
  void everySnippetCompiles() throws IOException {
    String readme = Files.readString(Path.of("README.md"));
    List<String> snippets =
        SNIPPET.matcher(readme).results().map((MatchResult it) -> it.group(1)).toList();
    assertTrue(snippets.size() > 5);
    snippets.forEach(snippet -> assertEquals("", problems(snippet), snippet));
  }

  private String problems(String snippet) {
    boolean brings = snippet.contains("InterlockClient client =");
    String source =
        AROUND.formatted(
            lines(snippet, true), brings ? "" : "InterlockClient client;", lines(snippet, false));
    DiagnosticCollector<JavaFileObject> problems = new DiagnosticCollector<>();
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    List<String> options = List.of("-proc:none", "-d", room.toString());
    compiler.getTask(null, null, problems, options, null, List.of(new Source(source))).call();
    return problems.getDiagnostics().stream()
        .map(it -> it.getLineNumber() + ": " + it.getMessage(null))
        .collect(Collectors.joining("\n"));
  }

  private static String lines(String snippet, boolean imports) {
    return snippet
        .lines()
        .filter(line -> line.startsWith("import ") == imports)
        .collect(Collectors.joining("\n"));
  }

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(String text) {
      super(URI.create("string:///Snippet.java"), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }
  }
}
