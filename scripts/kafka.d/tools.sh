# shellcheck shell=bash disable=SC2034,SC2154
# Kafka's command-line tools.

tool_class() {
  local tools=org.apache.kafka.tools
  case $1 in
    topics) echo $tools.TopicCommand ;;
    configs) echo kafka.admin.ConfigCommand ;;
    acls) echo $tools.AclCommand ;;
    console-producer) echo $tools.ConsoleProducer ;;
    console-consumer) echo $tools.consumer.ConsoleConsumer ;;
    consumer-groups) echo $tools.consumer.group.ConsumerGroupCommand ;;
    groups) echo $tools.GroupsCommand ;;
    share-groups) echo $tools.consumer.group.ShareGroupCommand ;;
    get-offsets) echo $tools.GetOffsetShell ;;
    delete-records) echo $tools.DeleteRecordsCommand ;;
    transactions) echo $tools.TransactionsCommand ;;
    metadata-quorum) echo $tools.MetadataQuorumCommand ;;
    leader-election) echo $tools.LeaderElectionCommand ;;
    reassign-partitions) echo $tools.reassign.ReassignPartitionsCommand ;;
    features) echo $tools.FeatureCommand ;;
    broker-api-versions) echo $tools.BrokerApiVersionsCommand ;;
    producer-perf) echo $tools.ProducerPerformance ;;
    consumer-perf) echo $tools.ConsumerPerformance ;;
    *) die 2 "unknown tool '$1' (see scripts/kafka help)" ;;
  esac
}
