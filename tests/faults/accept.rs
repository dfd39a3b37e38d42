//! Rows 18–21: accepting under pressure.
