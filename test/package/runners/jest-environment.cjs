/**
 * Gives every test file the same lists: of the apps that test files made, and of the environments of the files
 * themselves.
 */
const { TestEnvironment } = require('jest-environment-node')

// Jest loads this file once, outside of the environments.
const lists = { apps: [], environments: [] }

module.exports = class extends TestEnvironment {
  constructor (...args) {
    super(...args)
    lists.environments.push(new WeakRef(this.global))
    // A WeakRef that a test file made by its own class would keep the environment of this class.
    Object.assign(this.global, lists, { WeakRef })
  }
}
