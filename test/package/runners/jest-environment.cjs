/** Gives all test files the same two lists: the apps that test files made, and the environments of the files. */
const { TestEnvironment } = require('jest-environment-node')

// Jest loads this file once, outside the environments.
const lists = { apps: [], environments: [] }

module.exports = class extends TestEnvironment {
  constructor (...args) {
    super(...args)
    lists.environments.push(new WeakRef(this.global))
    // A WeakRef made with a test file's own class would keep the environment of that class.
    Object.assign(this.global, lists, { WeakRef })
  }
}
