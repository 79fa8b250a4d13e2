-- What was heard of somebody is found when they are forgotten.
CREATE INDEX chassis_inbox_subject ON chassis_inbox (subject);
