"""Amazon DynamoDB: tables with point-in-time recovery, marked and restored to an instant of the service's clock."""
