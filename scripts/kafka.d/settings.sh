# shellcheck shell=bash disable=SC2034,SC2154
# The settings of brokers and of their clients.

settings() {
  local n=$1 v voters='' rf=$((BROKERS < 3 ? BROKERS : 3)) isr=$((BROKERS < 3 ? 1 : 2)) secure=''
  for ((v = 1; v <= BROKERS; v++)); do voters+=,$v@127.0.0.1:$(port "$v" 1); done
  ((!SECURE)) || for ((v = 2; v <= 4; v++)); do
    secure+=,$(listener "$v")://127.0.0.1:$(port "$n" "$v")
  done
  cat <<END
process.roles=broker,controller
node.id=$n
controller.quorum.voters=${voters#,}
listeners=PLAINTEXT://127.0.0.1:$(port "$n" 0),CONTROLLER://127.0.0.1:$(port "$n" 1)$secure
advertised.listeners=PLAINTEXT://127.0.0.1:$(port "$n" 0)$secure
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
log.dirs=$STATE/$n/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=8
transaction.state.log.num.partitions=8
default.replication.factor=$rf
min.insync.replicas=$isr
offsets.topic.replication.factor=$rf
transaction.state.log.replication.factor=$rf
transaction.state.log.min.isr=$isr
share.coordinator.state.topic.replication.factor=$rf
share.coordinator.state.topic.min.isr=$isr
END
  ((BROKERS == 1)) || failover_settings
  ((!SECURE)) || secure_settings
  # The last of two equal names counts.
  printf '%s\n' "${KAFKA_SETTINGS-}"
}

failover_settings() {
  cat <<'END'
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
controller.quorum.election.timeout.ms=800
controller.quorum.fetch.timeout.ms=1500
replica.lag.time.max.ms=3000
END
}

listener() {
  case $1 in
    2) echo SASL_PLAINTEXT ;;
    3) echo SASL_SSL ;;
    4) echo SSL ;;
  esac
}

secure_settings() {
  local login=org.apache.kafka.common.security
  local plain="$login.plain.PlainLoginModule required user_admin=\"admin-secret\" user_alice=\"alice-secret\";"
  cat <<END
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=$plain
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=$plain
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$login.scram.ScramLoginModule required;
listener.name.ssl.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=(.*?)(,.*)?\$/\$1/,DEFAULT
ssl.keystore.type=PEM
ssl.keystore.location=$STATE/tls/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$STATE/tls/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
allow.everyone.if.no.acl.found=false
END
}

client_settings() {
  cat <<END
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="$1" password="$1-secret";
END
}
