"""The grid under a market: conversion, power flow, limits, and who stands behind a violation."""
