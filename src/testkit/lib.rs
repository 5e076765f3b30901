//! Fakes of every port and fixtures, for tests only
