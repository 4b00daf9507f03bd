DROP TABLE system_coordination_log;
DROP TABLE dsmil_device_analytics;
DROP TABLE agent_task_hours;
DROP TABLE agent_performance_metrics;
