# shellcheck shell=bash disable=SC2034,SC2154
# What scripts/kafka needs of this machine: Java, the jars, free ports.

need_java() {
  local hint='install Java 17 or newer (Debian: apt-get install default-jdk-headless maven; elsewhere: a JDK and Maven from your package manager)'
  local major
  command -v "$JAVA" >/dev/null || die 1 "no $JAVA found: $hint"
  major=$("$JAVA" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  [[ $major =~ ^[0-9]+$ ]] || die 1 "$JAVA doesn't tell its version: $hint"
  ((major >= 17)) || die 1 "$JAVA is version $major: $hint"
}

need_openssl() {
  command -v openssl >/dev/null || die 1 'no openssl found: install it (Debian: apt-get install openssl)'
}

need_jars() {
  local version
  version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$PARTS/pom.xml")
  LIB=$JARS/$version
  [[ -d $LIB ]] || fetch_jars "$version"
}

fetch_jars() (
  command -v mvn >/dev/null ||
    die 1 'no mvn found: install Maven (Debian: apt-get install maven; elsewhere: from your package manager)'
  mkdir -p "$JARS"
  exec 8>"$JARS/lock"
  flock 8
  [[ -d $LIB ]] && return
  note "fetching Kafka $1 into $LIB"
  rm -rf "$JARS"/fetch.*
  tmp=$(mktemp -d "$JARS/fetch.XXXXXX")
  trap 'rm -rf "$tmp" "$tmp.log"' EXIT
  mvn -q -B -f "$PARTS/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$tmp" </dev/null >"$tmp.log" 2>&1 8>&- 9>&- ||
    { tail -n 20 "$tmp.log" >&2; die 1 'Maven could not fetch the jars'; }
  chmod 755 "$tmp"
  mv -T "$tmp" "$LIB"
)

run_java() { exec "$JAVA" -Dlog4j2.configurationFile="$PARTS/log4j2.properties" -cp "$LIB/*" "$@"; }

port() { echo $((PORT + 10 * ($1 - 1) + $2)); }

addresses() {
  local n list=''
  for ((n = 1; n <= BROKERS; n++)); do list+=,127.0.0.1:$(port "$n" "$1"); done
  echo "${list#,}"
}

listening() {
  { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || true; } |
    awk -v p="$(printf ':%04X$' "$1")" '$4 == "0A" && $2 ~ p { found = 1 } END { exit !found }'
}

need_free_ports() {
  local n i
  for n; do
    for ((i = 0; i < 2 + 3 * SECURE; i++)); do
      ! listening "$(port "$n" "$i")" ||
        die 1 "port $(port "$n" "$i") (broker $n) is in use: free it, or set KAFKA_PORT (now $PORT) and KAFKA_STATE for another cluster"
    done
  done
}
