package dev.interlock.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
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
      import java.util.List;
      import java.util.Map;
      %s
      class %s {
        %s
        void snippet() throws Exception {
      %s
        }
      }
      """;
  private static final String CLIENT = "InterlockClient client;";

  @Test
  void everySnippetCompiles() throws IOException {
    String readme = Files.readString(Path.of("README.md"));
    List<Source> sources = new ArrayList<>();
    for (String snippet : SNIPPET.matcher(readme).results().map(it -> it.group(1)).toList()) {
      sources.add(new Source("Snippet" + sources.size(), snippet));
    }
    assertTrue(sources.size() > 5);

    DiagnosticCollector<JavaFileObject> problems = new DiagnosticCollector<>();
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    List<String> options = List.of("-proc:none", "-d", room.toString());
    compiler.getTask(null, null, problems, options, null, sources).call();
    assertEquals(List.of(), problems.getDiagnostics());
  }

  private static String lines(String snippet, boolean imports) {
    return snippet
        .lines()
        .filter(line -> line.startsWith("import ") == imports)
        .collect(Collectors.joining("\n"));
  }

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(String name, String snippet) {
      super(URI.create("string:///" + name + ".java"), Kind.SOURCE);
      String client = snippet.contains("InterlockClient client =") ? "" : CLIENT;
      text = AROUND.formatted(lines(snippet, true), name, client, lines(snippet, false));
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }
  }
}
